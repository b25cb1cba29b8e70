/** The matrix of a layer as the checkpoint has it, floats or blocks of small integers, and products and lookups with it. */
import { type BlockPlane, lazy, type Tensor, type Value } from '@penjing/core';
import type { Network } from '../network.js';

/** (outputs, inputs). */
export type Matrix = FloatMatrix | BlockMatrix;

export interface FloatMatrix {
  readonly kind: 'float';
  readonly tensor: Tensor;
}

/** Quantized weights that are kept as they are: the sum of the planes, and of one number per block. */
export interface BlockMatrix {
  readonly kind: 'blocks';
  readonly planes: readonly BlockPlane<Tensor>[];
  /** (outputs, blocks). */
  readonly correction?: Tensor | undefined;
}

/** What becomes of weights that are quantized already. */
export type BlockPolicy =
  /** Kept, with float32 activations: the same results as with the weights as floats. Codes of 8 bits take two kernels of 4. */
  | 'exact'
  /** Kept, with activations rounded to int8 for each product: the fastest, some 0.5 % off per product. */
  | 'int8'
  /** Made floats. */
  | 'float';

export const blockPolicies: readonly BlockPolicy[] = ['exact', 'int8', 'float'];

/** A stored tensor (outputs, inputs) of any float type: blocks where it has some and the network keeps them. */
export function matrixOf(net: Network, tensor: Tensor): Matrix {
  const repacked = net.blocks === 'float' ? undefined : lazy.repack(tensor, { scaleDtype: net.dtype, split: net.blocks === 'exact' });
  return repacked ? { kind: 'blocks', ...repacked } : { kind: 'float', tensor: lazy.cast(tensor, net.dtype) };
}

/** x · matrixᵀ: (…, inputs) to (…, outputs), in the current module. The plain pattern is what weight quantization looks for. */
export function product(net: Network, x: Value, matrix: Matrix): Value {
  if (matrix.kind === 'float') return net.op('MatMul', [x, net.derived('weight', lazy.transpose(matrix.tensor, [1, 0]))]);
  const stored = storeBlocks(net, matrix);
  return productOfBlocks(net, x, stored, stored.planes.map(({ values }) => values));
}

/** Blocks that are initializers of the graph. */
export interface StoredBlocks {
  readonly planes: readonly BlockPlane<Value>[];
  readonly correction: Value | undefined;
  readonly rows: number;
  readonly cols: number;
}

function storeBlocks(net: Network, { planes, correction }: BlockMatrix, shaped: (values: Tensor) => Tensor = (values) => values): StoredBlocks {
  const [{ scales, blockSize }] = planes as [BlockPlane<Tensor>];
  const [rows = 0, blocks = 0] = scales.shape;
  const stored = planes.map((plane, i): BlockPlane<Value> => {
    const name = `weight.q${plane.bits}${i === 0 ? '' : `_plane${i}`}`;
    return {
      ...plane,
      values: net.derived(name, shaped(plane.values)),
      scales: net.derived(`${name}_scales`, plane.scales),
      zeroPoints: plane.zeroPoints && net.derived(`${name}_zero_points`, plane.zeroPoints),
    };
  });
  return { planes: stored, correction: correction && net.derived('weight.correction', correction), rows, cols: blocks * blockSize };
}

/** `values` of each plane, (rows, blocks, bytes). */
function productOfBlocks(net: Network, x: Value, { planes, correction, rows, cols }: StoredBlocks, values: readonly Value[]): Value {
  const products = planes.map(({ scales, zeroPoints, bits, blockSize }, i) => {
    const attributes = { K: cols, N: rows, bits, block_size: blockSize, ...(net.blocks === 'int8' && { accuracy_level: INT8 }) };
    return net.contrib('MatMulNBits', [x, values[i]!, scales, zeroPoints], attributes)[0]!;
  });
  if (correction) {
    // a number per block of weights times the sum of the block of x
    const sums = net.blockSums(x, planes[0]!.blockSize, cols);
    products.push(net.op('MatMul', [sums, net.op('Transpose', [correction], { perm: [1, 0] })]));
  }
  return products.reduce((sum, next) => net.op('Add', [sum, next]));
}

/** accuracy_level of MatMulNBits that rounds activations to int8. */
const INT8 = 4;

/** A table that tokens are looked up in, and that a tied head multiplies by. */
export interface Table {
  /** Rows of int64 ids: (…) to (…, width). */
  lookUp(ids: Value): Value;
  /** (…, width) to (…, rows), in the module that is current when it is called. */
  product(x: Value): Value;
}

/** The table that `tensor` (rows, width) is, in the current module. */
export function tableOf(net: Network, tensor: Tensor): Table {
  const matrix = matrixOf(net, tensor);
  if (matrix.kind === 'float') {
    const table = net.derived('weight', matrix.tensor);
    return {
      lookUp: (ids) => net.op('Gather', [table, ids]),
      product: (x) => net.op('MatMul', [x, net.op('Transpose', [table], { perm: [1, 0] })]),
    };
  }
  // A lookup wants (rows, bytes), a product (rows, blocks, bytes): the same bytes, reshaped when the model is loaded.
  const stored = storeBlocks(net, matrix, (values) => lazy.reshape(values, [values.shape[0]!, values.shape[1]! * values.shape[2]!]));
  return {
    lookUp: (ids) => lookUpBlocks(net, ids, stored),
    product: (x) => {
      const values = stored.planes.map((plane, i) => net.op('Reshape', [plane.values, net.ints(matrix.planes[i]!.values.shape)]));
      return productOfBlocks(net, x, stored, values);
    },
  };
}

function lookUpBlocks(net: Network, ids: Value, { planes, correction, cols }: StoredBlocks): Value {
  const rows = planes.map(({ values, scales, zeroPoints, bits, blockSize }) => {
    const attributes = { bits, block_size: blockSize, gather_axis: 0, quantize_axis: 1 };
    return net.contrib('GatherBlockQuantized', [values, ids, scales, zeroPoints], attributes)[0]!;
  });
  const sum = rows.reduce((sum, next) => net.op('Add', [sum, next]));
  if (!correction) return sum;
  const { blockSize } = planes[0]!;
  const blocked = net.op('Reshape', [sum, net.ints([0, 0, cols / blockSize, blockSize])]);
  const shift = net.op('Unsqueeze', [net.op('Gather', [correction, ids]), net.ints([-1])]);
  return net.op('Reshape', [net.op('Add', [blocked, shift]), net.ints([0, 0, cols])]);
}
