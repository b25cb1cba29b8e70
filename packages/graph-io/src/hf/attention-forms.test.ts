import { bytesOf, DenseTensor, type Executor, type Fetches } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { attentionForms, type AttentionForm } from './blocks/attention.js';
import { convertHuggingFace } from './convert.js';
import { openHuggingFaceFolder } from './open.js';
import { tinyLlama } from './testing/tiny-llama.js';

async function load(attention: AttentionForm): Promise<Executor> {
  return referenceEngine().load(await convertHuggingFace(await openHuggingFaceFolder(await tinyLlama()), { attention }));
}

function ids(rows: readonly (readonly number[])[]): DenseTensor {
  return new DenseTensor('int64', [rows.length, rows[0]!.length], bytesOf(BigInt64Array.from(rows.flat(), BigInt)));
}

interface Tokens {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly position_ids: readonly (readonly number[])[];
}

async function run(executor: Executor, tokens: Tokens, before?: Fetches): Promise<Fetches> {
  const batch = tokens.input_ids.length;
  const past = executor.inputs.slice(3).map(({ name }) => {
    const cached = before?.[name.replace('past_key_values', 'present')];
    return [name, cached ?? new DenseTensor('float32', [batch, 1, 0, 8], new Uint8Array(0))] as const;
  });
  const { input_ids, attention_mask, position_ids } = tokens;
  return executor.run({
    input_ids: ids(input_ids),
    attention_mask: ids(attention_mask),
    position_ids: ids(position_ids),
    ...Object.fromEntries(past),
  });
}

const logitsOf = (fetches: Fetches): number[] => [...((fetches['logits'] as DenseTensor).data as Float32Array)];

/** Two prompts, the second padded on the left, then one more token of each. */
const prompt: Tokens = {
  input_ids: [[1, 5, 3, 7], [0, 0, 9, 2]],
  attention_mask: [[1, 1, 1, 1], [0, 0, 1, 1]],
  position_ids: [[0, 1, 2, 3], [0, 0, 0, 1]],
};
const next: Tokens = {
  input_ids: [[6], [4]],
  attention_mask: [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]],
  position_ids: [[4], [2]],
};

test('both forms of attention agree, and padding changes nothing', async () => {
  const results = await Promise.all(
    attentionForms.map(async (form) => {
      const executor = await load(form);
      const first = await run(executor, prompt);
      const second = await run(executor, next, first);
      const alone = await run(executor, { input_ids: [[9, 2, 4]], attention_mask: [[1, 1, 1]], position_ids: [[0, 1, 2]] });
      const width = 11;
      const padded = logitsOf(second).slice(width);
      padded.forEach((value, i) => expect(value).toBeCloseTo(logitsOf(alone)[2 * width + i]!, 5));
      return [...logitsOf(first), ...logitsOf(second)];
    }),
  );
  const [gqa, standard] = results as [number[], number[]];
  const wide = 11 * 4;
  for (let i = 0; i < gqa.length; i++) {
    const padding = i >= wide && i < wide + 11 * 2;
    if (!padding) expect(gqa[i]).toBeCloseTo(standard[i]!, 5);
  }
});
