/** The decoders that gguf-py wrote (tests/fixtures/gguf-models), and what transformers computes with them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkpoint, toDense } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, type GgufFile, ggufToHuggingFace, type HuggingFaceFolder, openGguf, openSafetensors } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { testEngine } from './ort-session.js';
import { CachedDecoder, type Floats, type Ids } from './hf-decoder.js';

const folder = join(import.meta.dirname, '../fixtures/gguf-models');

export interface GgufCase {
  readonly name: string;
  readonly architecture: string;
  readonly type: string;
}

export const { cases: ggufCases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as { readonly cases: readonly GgufCase[] };

export const ggufPath = (name: string): string => join(folder, `${name}.gguf`);

export async function openCase(name: string): Promise<{ readonly file: GgufFile; readonly model: HuggingFaceFolder }> {
  const file = await openGguf(await fileSource(ggufPath(name)));
  return { file, model: await ggufToHuggingFace(file, name) };
}

export interface Expected {
  readonly prompt: Ids;
  readonly logits: Floats;
  /** The most probable tokens one after the other. */
  readonly greedy: readonly number[];
}

export async function expectedOf(name: string): Promise<Expected> {
  const recorded: Checkpoint = await openSafetensors(await fileSource(join(folder, 'expected.safetensors')));
  const load = async (part: string): ReturnType<typeof toDense> => toDense(recorded.tensors.get(`${name}.${part}`)!);
  const [prompt, logits, greedy] = [await load('input_ids'), await load('logits'), await load('greedy')];
  return {
    prompt: { data: prompt.data as BigInt64Array, shape: prompt.shape },
    logits: { data: logits.data as Float32Array, shape: logits.shape },
    greedy: Array.from(greedy.data as BigInt64Array, Number),
  };
}

export async function logitsOf(model: HuggingFaceFolder, prompt: Ids, options: ConvertHuggingFaceOptions = {}): Promise<Floats> {
  await using decoder = new CachedDecoder(await testEngine().load(await convertHuggingFace(model, options)));
  return await decoder.forward(prompt);
}
