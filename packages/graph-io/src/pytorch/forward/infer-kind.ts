/** Guesses what kind of module owns some weights, from their names and shapes: all that a state dict holds. */
import type { ModuleNode } from './module-node.js';

/** Weights of so many axes belong to convolutions of two axes less. */
const convolutions: Readonly<Record<number, string>> = { 3: 'Conv1d', 4: 'Conv2d', 5: 'Conv3d' };

/**
 * A class of torch.nn; undefined when the weights could be those of several. `integers`: whether the input of the module
 * is known to hold integers, as only the input of an embedding does.
 */
export function inferKind(node: ModuleNode, integers?: boolean): string | undefined {
  const names = new Set([...node.tensors.keys()].filter((name) => name !== 'num_batches_tracked'));
  const weight = node.tensors.get('weight');
  const rank = weight?.shape.length;
  if (names.has('running_mean')) return 'BatchNorm2d';
  if (names.has('weight_ih_l0') && names.has('weight_hh_l0')) return recurrentKind(node);
  if (![...names].every((name) => name === 'weight' || name === 'bias') || !weight || rank === undefined) return undefined;
  if (convolutions[rank]) return convolutions[rank];
  if (rank === 2) return !names.has('bias') && (integers ?? /emb/i.test(node.path)) ? 'Embedding' : 'Linear';
  if (rank !== 1) return undefined;
  // A scale without a bias: of an RMSNorm, of a PReLU, or of a LayerNorm without one.
  if (names.has('bias')) return 'LayerNorm';
  if (weight.shape[0] === 1 || /prelu|act/i.test(node.path)) return 'PReLU';
  return /rms/i.test(node.path) ? 'RMSNorm' : undefined;
}

/** Gates are stacked: four of an LSTM, three of a GRU, one of a plain layer. */
function recurrentKind(node: ModuleNode): string | undefined {
  const [gates] = node.tensors.get('weight_hh_l0')!.shape;
  const hidden = node.tensors.get('weight_hh_l0')!.shape[1] ?? 0;
  return { 4: 'LSTM', 3: 'GRU', 1: 'RNN' }[(gates ?? 0) / hidden];
}
