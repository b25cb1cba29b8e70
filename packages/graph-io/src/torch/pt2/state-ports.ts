/** Buffers and inputs that a program changes: a graph keeps nothing between runs, so its state comes and goes through ports. */
import type { Model } from '@penjing/core';
import type { Program } from './program.js';

/**
 * `drop` computes as from the state in the file on every run, as torch.onnx does. `ports` makes an input of each changed
 * buffer and an output of what it becomes. The input is no optional one with the value of the file as its default:
 * onnxruntime-node gives callers no way to set those. `checkpoint` of the file has that value.
 */
export type StateMode = 'drop' | 'ports';

/** What an input becomes: `cache` and `cache.next`. */
export const nextName = (name: string): string => `${name}.next`;

/** Targets of the mutations that a program has, with the place of each among its results. */
export function mutationsOf(program: Program): { readonly target: string; readonly at: number }[] {
  return program.outputs.flatMap(({ kind, target }, at) => (kind === 'mutation' && target !== '' ? [{ target, at }] : []));
}

/** Says in the metadata what has become of the state, whichever way it went. */
export function describeState(model: Model, changed: readonly string[], mode: StateMode): void {
  if (changed.length === 0) return;
  if (mode === 'drop') model.metadata.set('penjing.dropped_state', changed.join(', '));
  else model.metadata.set('penjing.state', changed.map((name) => `${name}=${nextName(name)}`).join(', '));
}
