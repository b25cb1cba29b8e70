/** A seeded chain of residual blocks, small enough for the reference engine; for tests. */
import { createRng, denseOf, type DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';

export interface ResidualModelOptions {
  /** Width of the hidden layer of each block. */
  readonly hidden: readonly number[];
  readonly width?: number;
  readonly seed?: number;
}

/** y = x + W₂ relu(W₁ x), block after block. x: (batch, width); the second weights are used through a Transpose, and a scale is computed from the input. */
export function residualModel({ hidden, width = 4, seed = 1 }: ResidualModelOptions): Model {
  const rng = createRng(seed);
  const random = (...shape: number[]): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.uniform() - 0.5));
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['batch', width]));
  const scale = b.input('scale', tensorType('float32', ['batch', 1]));
  // Context: read by every block, computed from no weight.
  const factor = b.op('Abs', [scale]);
  const transposed = hidden.map((size, i) => b.op('Transpose', [b.initializer(`block${i}.out`, random(width, size))], { perm: [1, 0] }));
  let h: Value = b.op('MatMul', [x, b.initializer('embed', random(width, width))]);
  hidden.forEach((size, i) => {
    const inner = b.op('Relu', [b.op('MatMul', [h, b.initializer(`block${i}.in`, random(width, size))])]);
    h = b.op('Add', [h, b.op('Mul', [b.op('MatMul', [inner, transposed[i]]), factor])]);
  });
  b.output(h, 'y', tensorType('float32', ['batch', width]));
  return model;
}
