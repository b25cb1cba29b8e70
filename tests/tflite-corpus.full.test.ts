/** Models whose outputs are known, as TFLite on the LiteRT interpreter: single operators, encoders of transformers, networks of torchvision. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { atenPrograms, backendOperators, type Converted, type CorpusCase, encoders, programs, sentences, type Refused, tryConvert } from './support/tflite-corpus.js';
import { recordedVerdicts, verdictOf } from './support/tflite-verdicts.js';
import { testData } from './support/onnx-backend.js';

/** Why each file that is further away than 1e-4 is. */
const reasons: readonly { readonly cases: RegExp; readonly why: string }[] = [
  { cases: /fp16|FLOAT16/, why: 'computed in float32, where the test rounds to float16' },
  { cases: /^test_(operator_add_size1_singleton_broadcast|reduce_log_sum_exp_empty_set|attention_4d_causal_nonpad_negative_offset_structural_empty_expanded|attention_4d_with_past_and_present_qk_matmul_bias_3d_mask_causal_expanded)$/, why: 'sums of infinities: without XNNPACK the kernels of ADD and SUB stop at the largest float32' },
  { cases: /^index\.Tensor\+7$/, why: 'computed indices are negative: LiteRT says so when it runs' },
];

interface Group {
  readonly name: string;
  readonly cases: () => AsyncGenerator<CorpusCase>;
  /** Files that convert. */
  readonly converted: number;
  readonly refused: number;
}

const groups: readonly Group[] = [
  { name: 'programs', cases: programs, converted: 12, refused: 5 },
  { name: 'encoders', cases: encoders, converted: 153, refused: 0 },
  { name: 'sentences', cases: sentences, converted: 12, refused: 0 },
  { name: 'aten', cases: atenPrograms, converted: 610, refused: 80 },
  ...(existsSync(testData) ? [{ name: 'operators', cases: backendOperators, converted: 395, refused: 290 }] : []),
];

describe.each(groups)('$name', ({ name, cases, converted, refused }) => {
  test('convert, or are refused with the node and a way out; what converts is within 1e-4 of the known outputs', async () => {
    const recorded = recordedVerdicts(name);
    const [files, refusals, wrong]: [Converted[], Refused[], string[]] = [[], [], []];
    for await (const each of cases()) {
      const result = await tryConvert(each);
      if ('code' in result) {
        refusals.push(result);
        continue;
      }
      files.push(result);
      const verdict = await verdictOf(name, recorded, result);
      if (typeof verdict === 'number' && verdict <= 1e-4) continue;
      if (verdict === 'not judged' || !reasons.some((reason) => reason.cases.test(result.name))) wrong.push(`${result.name}: ${verdict}`);
    }
    process.stderr.write(`${name}: ${files.length} files (${files.filter(({ baked }) => baked).length} with inputs made constants), ${refusals.length} refused\n`);
    expect(Object.keys(recorded).length).toBeGreaterThanOrEqual(converted);
    expect(wrong).toEqual([]);
    expect(refusals.filter(({ code, hint }) => !/^E_(TFLITE_|DTYPE)/.test(code) || !hint)).toEqual([]);
    expect(files.length).toBeGreaterThanOrEqual(converted);
    expect(refusals.length).toBeLessThanOrEqual(refused);
  });
});
