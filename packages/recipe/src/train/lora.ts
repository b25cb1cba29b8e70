/** Adapters of a step that trains: added before it, merged or saved after it. */
import { type Model, type PassResult, PenjingError, type TaskOptions } from '@penjing/core';
import { addLora, type Lora } from '@penjing/distill';
import { openHuggingFaceFolder, safetensorsLayout } from '@penjing/graph-io';
import { openFolder, saveLayouts } from '@penjing/graph-io/node';
import { weightRule } from '../steps/weight-rules.js';
import type { TrainingFields } from './training-fields.js';

/** Undefined when the step asks for none. Throws `E_OPTION` for what goes with adapters only, or not with them. */
export function loraOf(model: Model, { lora, loraAlpha, loraTargets, adapter, trainable, exclude, scratch }: TrainingFields, seed: number): Lora | undefined {
  const beside = { loraAlpha, loraTargets, adapter };
  const alone = Object.entries(beside).find(([, value]) => value !== undefined)?.[0];
  if (lora === undefined) {
    if (alone !== undefined) throw new PenjingError('E_OPTION', `${alone} means nothing without adapters`, { hint: 'Give their rank: lora 8.' });
    return undefined;
  }
  if (trainable || exclude || scratch) throw new PenjingError('E_OPTION', 'adapters are trained beside weights that stay as they are', { hint: 'Choose weights by loraTargets; leave out trainable, exclude and scratch.' });
  return addLora(model, { rank: lora, seed, ...(loraAlpha !== undefined && { alpha: loraAlpha }), ...(loraTargets && { targets: loraTargets.map(weightRule) }) });
}

export interface SaveAdapterOptions extends Pick<TaskOptions, 'signal'> {
  /** The model that the adapters are for: a Hugging Face folder, or another file. */
  readonly base: string;
  readonly causal: boolean;
}

/** Throws `E_UNSUPPORTED` for adapters that PEFT has no place for: better now than after hours. */
export async function checkAdapter(lora: Lora, base: string): Promise<void> {
  lora.peft(lora.model);
  const known = await openHuggingFaceFolder(openFolder(base)).then(({ checkpoint: { tensors } }) => [...tensors.keys()], () => undefined);
  const strange = known && lora.adapters.find(({ weight }) => !known.some((name) => name === weight || weight.endsWith(`.${name}`)));
  if (strange) throw new PenjingError('E_UNSUPPORTED', `${base} has no ${strange.weight}: it is a part of a larger matrix there, beside which PEFT has its adapters`, { hint: 'Leave out the adapter; the result has it merged.' });
}

/** adapter_model.safetensors and adapter_config.json. */
export async function saveAdapter(target: string, lora: Lora, trained: Model, { base, causal, signal }: SaveAdapterOptions): Promise<void> {
  const { checkpoint, config } = lora.peft(trained, { base, taskType: causal ? 'CAUSAL_LM' : undefined });
  const bytes = new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`);
  const files = [...safetensorsLayout(checkpoint, { name: 'adapter_model.safetensors' }), { name: 'adapter_config.json', size: bytes.length, pieces: [{ kind: 'bytes' as const, offset: 0, bytes }] }];
  await saveLayouts(target, files, { force: true, manifest: false, ...(signal && { signal }) });
}

/** The model with the adapters in its weights; beside integers they stay nodes of their own. */
export function withAdapters(lora: Lora, result: PassResult, integers: boolean): PassResult {
  if (integers) return result;
  const { model, records } = lora.merge(result.model);
  return { ...result, model, records };
}
