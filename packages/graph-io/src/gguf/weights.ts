/** The tensors of a GGUF file as those of the checkpoint it was made from, and the other way round: names, order of rows, stacks. */
import { type Checkpoint, DenseTensor, dtypes, lazy, PenjingError, type Tensor } from '@penjing/core';
import { ggufLimits } from '../limits.js';
import type { GgufArchitecture } from './architecture.js';
import { checkpointName, expertOf, ggufName, ggufPlace, ggufPlaceOf, type GgufPlace, stackOf } from './names.js';
import { fusedRows, rotaryRows } from './rows.js';

export interface HeadCounts {
  readonly heads: number;
  readonly kvHeads: number;
}

/** Read into the config, or precomputed for llama.cpp alone. */
const NOT_WEIGHTS: ReadonlySet<string> = new Set(['rope_freqs', 'rope_factors_long', 'rope_factors_short']);

/** Quantized weights stay in their blocks. Throws `E_WEIGHTS` naming tensors that are not known. */
export function fromGguf(architecture: GgufArchitecture, { tensors, metadata }: Checkpoint, heads: HeadCounts): Checkpoint {
  const out = new Map<string, Tensor>();
  const unknown: string[] = [];
  for (const [name, tensor] of tensors) {
    const place = ggufPlace(name);
    if (NOT_WEIGHTS.has(place.stem)) continue;
    for (const [at, weight] of unstacked(architecture, place, tensor)) {
      const target = checkpointName(architecture.names, at);
      if (target === undefined) unknown.push(name);
      else out.set(target, arranged(architecture, at, weight, heads, 'read'));
    }
  }
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 5).join(', ') + (unknown.length > 5 ? ` and ${unknown.length - 5} more` : '');
    throw new PenjingError('E_WEIGHTS', `a ${architecture.name} model in a GGUF file has no place for ${shown}`, {
      hint: 'The file holds a variant of this architecture that is not supported.',
      details: { tensors: unknown },
    });
  }
  return { tensors: out, metadata };
}

/** Tensors of a checkpoint by their names in a GGUF file, as numbers. Throws `E_WEIGHTS` for one without a place. */
export function toGguf(architecture: GgufArchitecture, tensors: Iterable<readonly [string, Tensor]>, heads: HeadCounts): Map<string, Tensor> {
  const out = new Map<string, Tensor>();
  const stacks = new Map<string, Tensor[]>();
  for (const [name, tensor] of tensors) {
    const place = ggufPlaceOf(architecture.names, name);
    if (!place) throw new PenjingError('E_WEIGHTS', `a ${architecture.name} model in a GGUF file has no place for ${name}`, { details: { tensor: name } });
    const weight = arranged(architecture, place, tensor, heads, 'written');
    const stack = stackOf(place);
    const full = ggufName(stack ? { ...place, stem: stack.stem } : place);
    if (full.length > ggufLimits.nameBytes) throw new PenjingError('E_LIMIT', `the name ${full.slice(0, 99)} is too long`);
    if (!stack) out.set(full, weight);
    else if (stacks.has(full)) stacks.get(full)![stack.index] = weight;
    else stacks.set(full, Object.assign([], { [stack.index]: weight }));
  }
  for (const [name, experts] of stacks) out.set(name, stacked(name, experts));
  return out;
}

/** (experts, outputs, inputs) to one matrix for each; what is no stack stays. */
function unstacked({ names }: GgufArchitecture, place: GgufPlace, tensor: Tensor): (readonly [GgufPlace, Tensor])[] {
  const stem = names.experts && expertOf(place.stem);
  if (!stem) return [[place, tensor]];
  const [count, rows, cols] = tensor.shape;
  if (count === undefined || rows === undefined || cols === undefined || tensor.shape.length !== 3) {
    throw new PenjingError('E_WEIGHTS', `${ggufName(place)} is [${tensor.shape.join(', ')}], it must be [experts, outputs, inputs]`, { details: { tensor: ggufName(place) } });
  }
  if (count > ggufLimits.experts) throw new PenjingError('E_LIMIT', `${ggufName(place)} stacks ${count} experts, at most ${ggufLimits.experts} are read`);
  return Array.from({ length: count }, (_, i) => [{ ...place, stem: stem(i) }, lazy.reshape(lazy.slice(tensor, [i, 0, 0], [1, rows, cols]), [rows, cols])]);
}

function stacked(name: string, experts: readonly Tensor[]): Tensor {
  const missing = Array.from(experts).findIndex((tensor) => (tensor as Tensor | undefined) === undefined);
  if (missing >= 0) throw new PenjingError('E_WEIGHTS', `${name} needs expert ${missing}, which the checkpoint does not have`);
  return lazy.concat(experts.map((tensor) => lazy.reshape(tensor, [1, ...tensor.shape])), 0);
}

/** A tensor in the order of the other side. */
function arranged(
  { rotation, fusedByGroup, normOffset, turned = [] }: GgufArchitecture, { stem, suffix }: GgufPlace, tensor: Tensor, { heads, kvHeads }: HeadCounts, side: 'read' | 'written',
): Tensor {
  const read = side === 'read';
  const rows = tensor.shape[0] ?? 0;
  if (rotation === 'rearranged' && (stem === 'attn_q' || stem === 'attn_k')) {
    return gatherRows(tensor, rotaryRows(rows, stem === 'attn_q' ? heads : kvHeads, read ? 'halves' : 'pairs'));
  }
  // of one group both orders are the same
  if (fusedByGroup && kvHeads > 1 && stem === 'attn_qkv') return gatherRows(tensor, fusedRows(rows, { heads, kvHeads }, read ? 'groups' : 'kinds'));
  if (normOffset !== undefined && stem.endsWith('_norm')) {
    const wide = dtypes[tensor.dtype].kind === 'float' ? lazy.cast(tensor, 'float32') : tensor;
    return lazy.add(wide, lazy.fill('float32', [], read ? -normOffset : normOffset));
  }
  if (suffix === '.weight' && turned.includes(stem) && tensor.shape.length === 2) return lazy.transpose(tensor, [1, 0]);
  // llama.cpp's converter drops axes of length 1
  if (stem === 'ffn_gate_inp_shexp') return lazy.reshape(tensor, read ? [1, ...tensor.shape.slice(-1)] : tensor.shape.slice(-1));
  return tensor;
}

/** Rows of a matrix, or elements of a bias, in another order. */
function gatherRows(tensor: Tensor, rows: Int32Array): Tensor {
  return lazy.gather(tensor, DenseTensor.of('int32', [rows.length], rows));
}
