/** Layers quantized by GPTQ or AWQ as matrices of blocks, in the sizes that MatMulNBits has kernels for. */
import { type BlockPlane, DenseTensor, bytesOf, lazy, type Tensor } from '@penjing/core';
import type { Network } from '../network.js';
import type { PackedLinear } from '../packed-weights.js';
import type { Matrix } from './matrix.js';

/** Block sizes of MatMulNBits on the CPU. */
const BLOCK_SIZES = [256, 128, 64, 32, 16];

/** `part` picks the rows of a tensor (outputs, …) that belong to a layer. Columns are in the order of the groups. */
export function packedMatrix(net: Network, packed: PackedLinear, part: (tensor: Tensor) => Tensor): Matrix {
  const { inputs, bits, groupSize } = packed;
  const blockSize = BLOCK_SIZES.find((size) => groupSize % size === 0);
  const [codes, scales, zeros] = [part(packed.codes), part(packed.scales), packed.zeros && part(packed.zeros)];
  const rows = codes.shape[0]!;
  if (net.blocks === 'float' || blockSize === undefined) {
    const scheme = { bits, blockSize: groupSize, symmetric: !zeros, layout: 'nbits' } as const;
    const values = lazy.reshape(codes, [rows, inputs / groupSize, (groupSize * bits) / 8]);
    const floats = lazy.dequantize({ values, scales, zeroPoints: zeros && pack(zeros), scheme, shape: [rows, inputs], dtype: 'float32' });
    return { kind: 'float', tensor: lazy.cast(floats, net.dtype) };
  }
  const blocks = inputs / blockSize;
  const perBlock = (tensor: Tensor): Tensor =>
    groupSize === blockSize ? tensor : lazy.gather(tensor, indices(blocks, (block) => Math.floor((block * blockSize) / groupSize)), 1);
  const [blockScales, blockZeros] = [perBlock(lazy.cast(scales, net.dtype)), zeros && perBlock(zeros)];
  const plane = (bits: 4 | 8, codes: Tensor, scales: Tensor, zeroPoints: Tensor | undefined): BlockPlane<Tensor> => ({
    values: lazy.reshape(codes, [rows, blocks, (blockSize * bits) / 8]), scales, zeroPoints: zeroPoints && pack(zeroPoints), bits, blockSize,
  });
  if (bits === 4 || net.blocks === 'int8') return { kind: 'blocks', planes: [plane(bits, codes, blockScales, blockZeros)] };

  // with float32 activations 8-bit codes have no fast kernel: (16 high + low - zero) · scale in two products of 4 bits
  const nibbles = lazy.bitcast(codes, 'uint4');
  const half = (first: number): Tensor => lazy.bitcast(lazy.gather(nibbles, indices(inputs, (i) => 2 * i + first), 1), 'uint8');
  const wide = lazy.cast(blockScales, 'float32');
  const high = lazy.cast(lazy.multiply(wide, lazy.fill('float32', [1], 16)), net.dtype);
  const fromMiddle = blockZeros && lazy.add(lazy.multiply(lazy.cast(blockZeros, 'float32'), lazy.fill('float32', [1], -1)), lazy.fill('float32', [1], 128));
  return {
    kind: 'blocks',
    planes: [plane(4, half(1), high, undefined), plane(4, half(0), blockScales, lazy.fill('uint4', [rows, blocks], 0))],
    correction: fromMiddle && lazy.cast(lazy.multiply(fromMiddle, wide), net.dtype),
  };
}

/** (rows, blocks) to uint8, a row of whole bytes. */
function pack(zeros: Tensor): Tensor {
  const [rows, blocks] = zeros.shape as [number, number];
  const even = zeros.dtype === 'uint4' && blocks % 2 === 1 ? lazy.concat([zeros, lazy.fill('uint4', [rows, 1], 0)], 1) : zeros;
  return lazy.bitcast(even, 'uint8');
}

function indices(count: number, at: (i: number) => number): Tensor {
  return new DenseTensor('int32', [count], bytesOf(Int32Array.from({ length: count }, (_, i) => at(i))));
}
