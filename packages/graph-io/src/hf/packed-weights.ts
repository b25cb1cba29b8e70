/** Linear layers that GPTQ or AWQ have quantized, found in a checkpoint and laid out by outputs; nothing is rounded again. */
import { DenseTensor, bytesOf, lazy, PenjingError, sameShape, type Shape, type Tensor, toDense, typedView } from '@penjing/core';
import type { Fields } from './fields.js';

/** weight[n, order[k]] = (code[n, k] - zero[n, group of k]) · scale[n, group of k]. */
export interface PackedLinear {
  readonly inputs: number;
  readonly outputs: number;
  readonly bits: 4 | 8;
  /** Inputs that share a scale; divides `inputs`. */
  readonly groupSize: number;
  /** uint8 (outputs, inputs · bits / 8), lowest bits first. */
  readonly codes: Tensor;
  /** (outputs, groups), as stored. */
  readonly scales: Tensor;
  /** uint4 or uint8 (outputs, groups); 2 ** (bits - 1) everywhere when absent. */
  readonly zeros: Tensor | undefined;
  /** The input of every column, when a checkpoint has them ordered by importance: columns are sorted by group here. */
  readonly order: readonly number[] | undefined;
}

/** How a method packs. */
interface Packing {
  readonly bits: 4 | 8;
  /** -1: one group over all inputs. */
  readonly groupSize: number;
  readonly read: (module: string, packing: Packing, tensors: ReadonlyMap<string, Tensor>) => Promise<PackedLinear>;
  /** Of GPTQ: no zero points need to be read. */
  readonly symmetric?: boolean;
  /** Of GPTQ: zero points are stored less 1. */
  readonly lessOne?: boolean;
}

const widths = { 4: 4, 8: 8 } as const;
const codeType = { 4: 'uint4', 8: 'uint8' } as const;

/** One row per `quant_method` that converts. */
const methods: Readonly<Record<string, (config: Fields) => Packing>> = {
  gptq: (config) => {
    const format = config.get('checkpoint_format') ?? 'gptq';
    if (format !== 'gptq' && format !== 'gptq_v2') throw config.wrong('checkpoint_format', 'gptq or gptq_v2');
    return {
      bits: bitsOf(config, 'bits'), groupSize: config.number('group_size', 128), read: readGptq,
      symmetric: config.boolean('sym', true), lessOne: format === 'gptq',
    };
  },
  awq: (config) => {
    const version = config.get('version') ?? 'gemm';
    if (typeof version !== 'string' || version.toLowerCase() !== 'gemm') throw config.wrong('version', 'gemm');
    const bits = bitsOf(config, config.has('w_bit') ? 'w_bit' : 'bits');
    if (bits !== 4) throw config.wrong('bits', '4');
    return { bits, groupSize: config.number(config.has('q_group_size') ? 'q_group_size' : 'group_size', 128), read: readAwq };
  },
};

/**
 * The packed layers by module. `config` is `quantization_config`. Throws `E_CONFIG` for a packing that is not supported,
 * `E_WEIGHTS` naming a tensor that does not fit.
 */
export async function packedLayers(config: Fields, tensors: ReadonlyMap<string, Tensor>): Promise<Map<string, PackedLinear>> {
  const packing = methods[config.choice('quant_method', methods)]!(config);
  const layers = new Map<string, PackedLinear>();
  for (const name of tensors.keys()) {
    if (!name.endsWith('.qweight')) continue;
    const module = name.slice(0, -'.qweight'.length);
    layers.set(module, await packing.read(module, packing, tensors));
  }
  return layers;
}

/** Tensors that a packed layer consists of. */
export const PACKED_TENSORS = ['qweight', 'qzeros', 'scales', 'g_idx'] as const;

/** qweight int32 (inputs / 8, outputs): the codes of 8 inputs of one output in a word, lowest first. */
async function readGptq(module: string, packing: Packing, tensors: ReadonlyMap<string, Tensor>): Promise<PackedLinear> {
  const { bits, symmetric = false, lessOne = false } = packing;
  const words = wordsOf(tensors, `${module}.qweight`);
  const [rows, outputs] = words.shape as [number, number];
  const inputs = (rows * 32) / bits;
  const { groupSize, groups } = groupsOf(module, packing, inputs);
  const order = await columnOrder(`${module}.g_idx`, tensors, inputs, groupSize);
  // (outputs, inputs): words turned are rows of codes
  const codes = lazy.bitcast(lazy.transpose(words, [1, 0]), codeType[bits]);
  const sorted = order ? lazy.gather(codes, int32(order), 1) : codes;
  const stored = lazy.transpose(lazy.bitcast(wordsOf(tensors, `${module}.qzeros`, [groups, (outputs * bits) / 32]), codeType[bits]), [1, 0]);
  return {
    inputs, outputs, bits, groupSize, order,
    codes: lazy.bitcast(sorted, 'uint8'),
    scales: scalesOf(tensors, module, groups, outputs),
    zeros: symmetric ? undefined : lessOne ? plusOne(stored, 2 ** bits - 1) : stored,
  };
}

/** qweight int32 (inputs, outputs / 8): the codes of 8 outputs of one input in a word, in this order. */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7];

async function readAwq(module: string, packing: Packing, tensors: ReadonlyMap<string, Tensor>): Promise<PackedLinear> {
  const words = wordsOf(tensors, `${module}.qweight`);
  const [inputs, columns] = words.shape as [number, number];
  const outputs = columns * AWQ_ORDER.length;
  const { groupSize, groups } = groupsOf(module, packing, inputs);
  const place = int32(Array.from({ length: outputs }, (_, n) => n - (n % 8) + AWQ_ORDER.indexOf(n % 8)));
  const byOutputs = (tensor: Tensor): Tensor => lazy.transpose(lazy.gather(lazy.bitcast(tensor, 'uint4'), place, 1), [1, 0]);
  return {
    inputs, outputs, bits: 4, groupSize, order: undefined,
    codes: lazy.bitcast(byOutputs(words), 'uint8'),
    scales: scalesOf(tensors, module, groups, outputs),
    zeros: byOutputs(wordsOf(tensors, `${module}.qzeros`, [groups, columns])),
  };
}

/** The inputs sorted by their group; undefined when they are so already. Throws `E_WEIGHTS` unless groups are of equal size. */
async function columnOrder(name: string, tensors: ReadonlyMap<string, Tensor>, inputs: number, groupSize: number): Promise<number[] | undefined> {
  const tensor = tensors.get(name);
  if (!tensor) return undefined;
  if (tensor.dtype !== 'int32' || !sameShape(tensor.shape, [inputs])) throw misfit(name, tensor, `int32 [${inputs}]`);
  const groups = typedView('int32', (await toDense(tensor)).bytes) as Int32Array;
  if (groups.every((group, k) => group === Math.floor(k / groupSize))) return undefined;
  const order = Array.from(groups.keys()).sort((a, b) => groups[a]! - groups[b]! || a - b);
  if (order.every((input, k) => groups[input] === Math.floor(k / groupSize))) return order;
  throw new PenjingError('E_WEIGHTS', `${name} does not give every group ${groupSize} inputs`, { details: { tensor: name } });
}

function groupsOf(module: string, { groupSize, bits }: Packing, inputs: number): { groupSize: number; groups: number } {
  const size = groupSize === -1 ? inputs : groupSize;
  if (Number.isInteger(size) && size > 0 && inputs % size === 0 && (size * bits) % 8 === 0) return { groupSize: size, groups: inputs / size };
  throw new PenjingError('E_WEIGHTS', `${module}: ${inputs} inputs are no groups of ${size}`, { details: { module, inputs, groupSize } });
}

/** (z + 1) modulo 2 ** bits, as the kernels of GPTQ have it. */
function plusOne(stored: Tensor, most: number): Tensor {
  const floats = lazy.cast(stored, 'float32');
  const one = lazy.fill('float32', [1], 1);
  const fromTop = lazy.add(lazy.multiply(floats, lazy.fill('float32', [1], -1)), lazy.fill('float32', [1], most));
  return lazy.cast(lazy.mask(lazy.add(floats, one), lazy.cast(fromTop, 'uint8')), stored.dtype);
}

function wordsOf(tensors: ReadonlyMap<string, Tensor>, name: string, shape?: Shape): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new PenjingError('E_WEIGHTS', `the checkpoint has no tensor ${name}`, { details: { tensor: name } });
  const fits = tensor.dtype === 'int32' && tensor.shape.length === 2 && (!shape || sameShape(tensor.shape, shape));
  if (!fits) throw misfit(name, tensor, shape ? `int32 [${shape.join(', ')}]` : 'an int32 matrix');
  return tensor;
}

function scalesOf(tensors: ReadonlyMap<string, Tensor>, module: string, groups: number, outputs: number): Tensor {
  const name = `${module}.scales`;
  const tensor = tensors.get(name);
  if (!tensor) throw new PenjingError('E_WEIGHTS', `the checkpoint has no tensor ${name}`, { details: { tensor: name } });
  if (!sameShape(tensor.shape, [groups, outputs])) throw misfit(name, tensor, `[${groups}, ${outputs}]`);
  return lazy.transpose(tensor, [1, 0]);
}

function misfit(name: string, { dtype, shape }: Tensor, wanted: string): PenjingError {
  return new PenjingError('E_WEIGHTS', `${name} is ${dtype} [${shape.join(', ')}], it must be ${wanted}`, {
    hint: 'The weights do not belong to the quantization_config of this config.json.',
    details: { tensor: name, dtype, shape },
  });
}

function bitsOf(config: Fields, name: string): 4 | 8 {
  const bits = config.number(name);
  if (bits in widths) return bits as 4 | 8;
  throw config.wrong(name, '4 or 8');
}

function int32(values: readonly number[]): Tensor {
  return new DenseTensor('int32', [values.length], bytesOf(Int32Array.from(values)));
}
