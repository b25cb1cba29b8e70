/** Guesses what kind of module owns some weights, from their names and shapes: all that a state dict holds. */
import type { ModuleNode } from './module-node.js';

/** Weights of so many axes belong to convolutions of two axes less. */
const convolutions: Readonly<Record<number, string>> = { 3: 'Conv1d', 4: 'Conv2d', 5: 'Conv3d' };

/**
 * A class of torch.nn; undefined when the weights could be those of several. `integers`: whether the input of the module
 * is known to hold integers, as only the input of an embedding does.
 */
export function inferKind(node: ModuleNode, integers?: boolean): string | undefined {
  if (node.children.size > 0) return inferComposite(node);
  const names = new Set([...node.tensors.keys()].filter((name) => name !== 'num_batches_tracked'));
  const weight = node.tensors.get('weight');
  const rank = weight?.shape.length;
  if (names.has('running_mean')) return 'BatchNorm2d';
  if (names.has('weight_ih') && names.has('weight_hh')) return recurrentKind(node, 'weight_hh', 'Cell');
  if (names.has('weight_ih_l0') && names.has('weight_hh_l0')) return recurrentKind(node, 'weight_hh_l0', '');
  if (![...names].every((name) => name === 'weight' || name === 'bias') || !weight || rank === undefined) return undefined;
  if (convolutions[rank]) return convolutions[rank];
  if (rank === 2) return !names.has('bias') && (integers ?? /emb/i.test(node.path)) ? 'Embedding' : 'Linear';
  if (rank !== 1) return undefined;
  // A scale without a bias: of an RMSNorm, of a PReLU, or of a LayerNorm without one.
  if (names.has('bias')) return 'LayerNorm';
  if (weight.shape[0] === 1 || /prelu|act/i.test(node.path)) return 'PReLU';
  return /rms/i.test(node.path) ? 'RMSNorm' : undefined;
}

/** Modules of torch.nn that have modules inside, by the names of those; undefined for all others. */
function inferComposite({ children, tensors }: ModuleNode): string | undefined {
  const has = (...names: readonly string[]): boolean => names.every((name) => children.has(name));
  if (has('out_proj') && (tensors.has('in_proj_weight') || tensors.has('q_proj_weight'))) return 'MultiheadAttention';
  if (has('self_attn', 'multihead_attn', 'linear1', 'linear2', 'norm1', 'norm2', 'norm3')) return 'TransformerDecoderLayer';
  if (has('self_attn', 'linear1', 'linear2', 'norm1', 'norm2')) return 'TransformerEncoderLayer';
  const [first] = children.get('layers')?.children.values() ?? [];
  const layer = first && inferKind(first);
  if (layer === 'TransformerEncoderLayer' || layer === 'TransformerDecoderLayer') return layer.slice(0, -'Layer'.length);
  const [encoder, decoder] = ['encoder', 'decoder'].map((name) => children.get(name)).map((child) => child && inferKind(child));
  return encoder === 'TransformerEncoder' && decoder === 'TransformerDecoder' ? 'Transformer' : undefined;
}

/** Gates are stacked: four of an LSTM, three of a GRU, one of a plain layer. */
function recurrentKind(node: ModuleNode, weight: string, suffix: string): string | undefined {
  const [gates = 0, hidden = 0] = node.tensors.get(weight)!.shape;
  const kind = { 4: 'LSTM', 3: 'GRU', 1: 'RNN' }[gates / hidden];
  return kind && kind + suffix;
}
