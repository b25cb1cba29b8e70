/** The weights of a checkpoint, taken by name: what is missing, of the wrong shape or left over is named. */
import { type Checkpoint, dtypes, lazy, matrixView, PenjingError, sameShape, type Shape, type Tensor } from '@penjing/core';
import type { Renaming } from './architecture.js';
import type { Fields } from './fields.js';
import { PACKED_TENSORS, packedLayers, type PackedLinear } from './packed-weights.js';

export type FloatDType = 'float32' | 'float16';

/** How names of a checkpoint become those that are asked for. */
export interface Naming {
  /** Module that every name of the network is in; put before all names of a checkpoint that has it nowhere. */
  readonly backbone?: string;
  readonly renamed?: readonly Renaming[];
}

/** Norms as TensorFlow spelled them: in checkpoints from before 2019, whatever the architecture; transformers reads them so too. */
const OLD_NORMS: readonly Renaming[] = [
  [/LayerNorm\.gamma$/, 'LayerNorm.weight'],
  [/LayerNorm\.beta$/, 'LayerNorm.bias'],
];

export class Weights {
  readonly #tensors: Map<string, Tensor>;
  readonly #dtype: FloatDType;
  readonly #taken = new Set<string>();
  #packed: ReadonlyMap<string, PackedLinear> = new Map();

  /** Weights are given in `dtype`, whatever the file holds. */
  constructor(checkpoint: Checkpoint, dtype: FloatDType, naming: Naming = {}) {
    this.#tensors = canonical(checkpoint.tensors, naming);
    this.#dtype = dtype;
  }

  /** Takes what GPTQ or AWQ have packed, as `quantization_config` describes it. */
  async unpack(config: Fields): Promise<void> {
    this.#packed = await packedLayers(config, this.#tensors);
    for (const module of this.#packed.keys()) for (const part of PACKED_TENSORS) this.#tensors.delete(`${module}.${part}`);
  }

  /** Adds the weights of a module that lie in a file of their own, under names that begin with the module's. */
  include(module: string, { tensors }: Checkpoint): void {
    for (const [name, tensor] of tensors) this.#tensors.set(`${module}.${name}`, tensor);
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The layer of a module that is stored packed. Throws `E_WEIGHTS` when it is one of another size. */
  packed(module: string, inputs: number, outputs: number): PackedLinear | undefined {
    const layer = this.#packed.get(module);
    if (!layer) return undefined;
    if (layer.inputs !== inputs || layer.outputs !== outputs) {
      throw new PenjingError('E_WEIGHTS', `${module} has ${layer.inputs} inputs and ${layer.outputs} outputs, config.json makes it ${inputs} and ${outputs}`, {
        hint: 'The weights do not belong to this config.json.',
        details: { module, inputs, outputs },
      });
    }
    this.#taken.add(module);
    return layer;
  }

  /**
   * Makes one matrix of two names, as transformers does: either may be the stored one. False, and nothing done, when
   * both are stored and differ: then the config is wrong and the weights are right.
   */
  async tie(table: string, head: string): Promise<boolean> {
    const [a, b] = [this.#tensors.get(table), this.#tensors.get(head)];
    if (a && b && !(await sameBytes(a, b))) return false;
    if (b && !a) this.#tensors.set(table, b);
    this.#tensors.delete(head);
    return true;
  }

  /** Undefined when the checkpoint has no such tensor. */
  shapeOf(name: string): Shape | undefined {
    return this.#tensors.get(name)?.shape;
  }

  /** Throws `E_WEIGHTS` when the checkpoint has no such tensor, or one of another shape or kind. */
  take(name: string, shape: Shape, dtype: FloatDType = this.#dtype): Tensor {
    return lazy.cast(this.find(name, shape), dtype);
  }

  /** The same, in the type that the checkpoint has it in. */
  find(name: string, shape: Shape): Tensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) {
      throw new PenjingError('E_WEIGHTS', `the checkpoint has no tensor ${name}`, {
        hint: 'The weights do not belong to this config.json, or a shard is missing.',
        details: { tensor: name, shape },
      });
    }
    if (!sameShape(tensor.shape, shape)) {
      const found = `[${tensor.shape.join(', ')}]`;
      throw new PenjingError('E_WEIGHTS', `${name} is ${found}, config.json makes it [${shape.join(', ')}]`, {
        hint: 'The weights do not belong to this config.json.',
        details: { tensor: name, found: tensor.shape, shape },
      });
    }
    if (dtypes[tensor.dtype].kind !== 'float' || dtypes[tensor.dtype].bits < 16) {
      throw new PenjingError('E_WEIGHTS', `${name} is ${tensor.dtype}: the checkpoint is quantized already`, {
        hint: 'Convert the original checkpoint, in float32, float16 or bfloat16.',
        details: { tensor: name, dtype: tensor.dtype },
      });
    }
    this.#taken.add(name);
    return tensor;
  }

  /** Throws `E_WEIGHTS` naming tensors that nothing took and no pattern excuses: a model without them would be wrong. */
  assertAllTaken(ignored: readonly RegExp[]): void {
    const left = [...this.#tensors.keys(), ...this.#packed.keys()].filter(
      (name) => !this.#taken.has(name) && !ignored.some((pattern) => pattern.test(name)),
    );
    if (left.length === 0) return;
    const shown = left.slice(0, 5).join(', ') + (left.length > 5 ? ` and ${left.length - 5} more` : '');
    throw new PenjingError('E_WEIGHTS', `this architecture has no place for ${shown}`, {
      hint: 'The checkpoint holds another model, or an adapter that must be merged first.',
      details: { tensors: left },
    });
  }
}

/** The names that are asked for; what is stored under the right one wins. */
export function canonical(stored: ReadonlyMap<string, Tensor>, { backbone, renamed = [] }: Naming): Map<string, Tensor> {
  const respelt = (name: string): string => [...renamed, ...OLD_NORMS].reduce((text, [from, to]) => text.replace(from, to), name);
  const bare = backbone !== undefined && ![...stored.keys()].some((name) => respelt(name).startsWith(`${backbone}.`));
  const tensors = new Map<string, Tensor>();
  const others: [string, Tensor][] = [];
  for (const [name, tensor] of stored) {
    const full = bare ? `${backbone}.${name}` : name;
    const right = respelt(full);
    if (right === full) tensors.set(full, tensor);
    else others.push([right, tensor]);
  }
  for (const [name, tensor] of others) if (!tensors.has(name)) tensors.set(name, tensor);
  return tensors;
}

/** Compared in pieces, and only until the first difference. */
async function sameBytes(a: Tensor, b: Tensor): Promise<boolean> {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) return false;
  const { rows } = matrixView(a.shape);
  const step = Math.max(1, Math.floor((rows * PIECE_BYTES) / Math.max(1, a.byteLength)));
  for (let start = 0; start < rows; start += step) {
    const range = { start, end: Math.min(rows, start + step) };
    const [x, y] = await Promise.all([a.rows(range), b.rows(range)]);
    if (x.some((byte, i) => byte !== y[i])) return false;
  }
  return true;
}

const PIECE_BYTES = 1 << 22;
