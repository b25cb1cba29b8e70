/** GGUF files of llama.cpp, tokenizer included. */
import { PenjingError } from '@penjing/core';
import { ggufLayout, type GgufWeightType, type JsonObject, type ModelFolder } from '@penjing/graph-io';
import type { WriteStep } from '../steps/convert.js';
import type { WeightsOutput } from './output-format.js';
import { quantizeStepOf } from './weight-steps.js';

/** Block types by bits; the block size is the format's. */
const quantizedTypes: Readonly<Partial<Record<number, { readonly type: GgufWeightType; readonly bits: number }>>> = {
  // half-precision scales of 32 weights included
  4: { type: 'Q4_0', bits: 4.5 },
  8: { type: 'Q8_0', bits: 8.5 },
};

const plainTypes: Readonly<Partial<Record<NonNullable<WriteStep['weights']>, GgufWeightType>>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

export const ggufOutput: WeightsOutput = {
  kind: 'weights',
  name: 'gguf',
  extension: '.gguf',
  accepts: ['to', 'weights'],
  async layouts(checkpoint, { name, input, steps, write }) {
    if (!input.folder || !(await input.folder.list()).includes('config.json')) {
      throw new PenjingError('E_FORMAT', `${input.path} has no config.json: a GGUF file says what the weights belong to`, { hint: 'Give the folder of a Hugging Face model.' });
    }
    const quantize = quantizeStepOf(steps, 'GGUF');
    const bits = quantize && (quantize.bits ?? 4);
    const blocks = bits === undefined ? undefined : quantizedTypes[bits];
    const type = bits === undefined ? plainTypes[write.weights ?? 'float16'] : blocks?.type;
    if (!type) {
      throw new PenjingError('E_OPTION', `GGUF files are written with weights in float32, float16, bfloat16, 8 or 4 bits, not ${bits ?? write.weights}`, { hint: 'For example --bits 4.' });
    }
    const [config, tokenizerJson, tokenizerConfig] = await Promise.all(
      ['config.json', 'tokenizer.json', 'tokenizer_config.json'].map((file) => readJson(input.folder!, file)),
    );
    const tokenizer = tokenizerJson && { tokenizerJson, tokenizerConfig };
    return { files: ggufLayout({ config: config!, checkpoint, tokenizer }, { type, name }), ...(blocks && { rounding: { method: `rtn ${type}`, bits: blocks.bits } }) };
  },
};

async function readJson(folder: ModelFolder, name: string): Promise<JsonObject | undefined> {
  if (!(await folder.list()).includes(name)) return undefined;
  const source = await folder.open(name);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.size))) as JsonObject;
  } catch (cause) {
    throw new PenjingError('E_CONFIG', `${name} is not JSON`, { cause, hint: `Download ${name} again.` });
  }
}
