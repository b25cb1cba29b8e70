/** Float32 tensors of seeded numbers. */
import { DenseTensor, type Shape } from '@penjing/core';

export function randomTensor(shape: Shape, seed: number): DenseTensor {
  let state = seed >>> 0 || 1;
  const count = shape.reduce((product, dim) => product * dim, 1);
  // xorshift
  const values = Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state | 0) / 2 ** 31;
  });
  return DenseTensor.of('float32', shape, values);
}
