/** What a sharded model takes and gives, as those who call it see that. */
import { type Executor, type Feeds, PenjingError } from '@penjing/core';
import { checkWhole } from './pieces.js';
import type { ShardedModel } from './sharded-model.js';

type Ports = Pick<ShardedModel, 'inputs' | 'outputs'>;

export function infosOf({ inputs, outputs }: Ports): Pick<Executor, 'inputs' | 'outputs'> {
  const info = ({ name, type }: ShardedModel['inputs'][number]): Executor['inputs'][number] => ({ name, type });
  return { inputs: inputs.map(info), outputs: outputs.map(info) };
}

/** Throws `E_INPUT` for feeds or outputs that the model does not have, and for inputs that are not the whole. */
export function checkNames({ inputs, outputs }: Ports, feeds: Feeds, wanted: readonly string[]): void {
  const known = new Set(inputs.map(({ name }) => name));
  const stranger = Object.keys(feeds).find((name) => !known.has(name));
  if (stranger !== undefined) throw new PenjingError('E_INPUT', `the model has no input ${stranger}`);
  for (const { name, cut } of inputs) {
    const tensor = feeds[name];
    if (!tensor) throw new PenjingError('E_INPUT', `the input ${name} is missing`);
    if (cut) checkWhole(tensor.shape, cut, name);
  }
  const missing = wanted.find((name) => !outputs.some((output) => output.name === name));
  if (missing !== undefined) throw new PenjingError('E_INPUT', `the model has no output ${missing}`);
}
