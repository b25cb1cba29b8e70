/** The form for generation against what transformers computed with the same checkpoints. */
import { readdirSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attribute, createRng, denseOf, type DenseTensor, elementCount, GraphBuilder, memorySource, Model, tensorType, toDense, type Value } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, layoutToBytes, openHuggingFaceFolder, openSafetensors, serializeOnnx } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { sessionSettings } from '../engine/settings.js';
import { BufferedDecoder } from '../worker/buffered-decoder.js';
import { Decoder } from '../worker/decoder.js';
import { decoderLayout } from '../worker/decoder-layout.js';
import { SessionTable } from '../worker/session-table.js';
import { generationForm } from './generation-form.js';

const folder = fileURLToPath(new URL('../../../../tests/fixtures/decoders', import.meta.url));
const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'expected.safetensors')) && !name.endsWith('-writes'));

/** Heads of a width that GroupQueryAttention refuses: they attend in standard operators. */
const OTHERS: readonly string[] = ['mistral-full'];
/** Their rotary frequencies follow from how long the text is, so what a token gives depends on when it was read. */
const READ_AT_ONCE: readonly string[] = ['phi3-longrope', 'phi4-mini'];

async function convert(name: string, options: ConvertHuggingFaceOptions = {}): Promise<Model> {
  return convertHuggingFace(await openHuggingFaceFolder(openFolder(join(folder, name))), { attention: 'gqa', ...options });
}

async function open(model: Model): Promise<{ decoder: BufferedDecoder; sessions: SessionTable }> {
  const { model: formed, form } = await generationForm(model);
  const sessions = new SessionTable(ort, { pass: (call) => call() });
  const bytes = await layoutToBytes(serializeOnnx(formed, { externalData: 'never' })[0]!);
  const { handle } = await sessions.open({ kind: 'memory', bytes: bytes.buffer as ArrayBuffer, externalData: [] }, sessionSettings({ threads: 1 }, { bytes: 0, quantized: false, byPath: false }));
  return { decoder: new BufferedDecoder(sessions, handle, form), sessions };
}

/** (1, length) ids and (1, length, vocabulary) logits. */
async function recorded(name: string): Promise<(key: string) => Promise<DenseTensor>> {
  const { tensors } = await openSafetensors(memorySource(readFileSync(join(folder, name, 'expected.safetensors'))));
  return (key) => toDense(tensors.get(key)!);
}

const numbers = ({ data }: DenseTensor): number[] => Array.from(data as ArrayLike<number | bigint>, Number);
const best = (row: Float32Array): number => row.indexOf(Math.max(...row));

describe.each(names.filter((name) => !OTHERS.includes(name)))('%s', (name) => {
  test('gives the recorded logits and words, whatever the pieces of the prompt', async () => {
    const tensor = await recorded(name);
    const { decoder, sessions } = await open(await convert(name));
    const wanted = (await tensor('prefill.logits')) as DenseTensor & { data: Float32Array };
    const [, length, width] = wanted.shape as [number, number, number];
    const prompt = numbers(await tensor('prefill.input_ids')).slice(0, length);
    for (const piece of READ_AT_ONCE.includes(name) ? [length] : [length, 3, 1]) {
      decoder.reset();
      for (let at = 0; at < length; at += piece) {
        const tokens = prompt.slice(at, at + piece);
        const logits = await decoder.forward(tokens, tokens.length);
        for (let row = 0; row < tokens.length; row++) {
          const expected = wanted.data.subarray((at + row) * width, (at + row + 1) * width);
          expect(Math.max(...logits.row(row).map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-4);
        }
      }
    }
    decoder.reset();
    let logits = await decoder.forward(numbers(await tensor('greedy.input_ids')));
    for (const token of numbers(await tensor('greedy.ids'))) {
      expect(best(logits.row(0))).toBe(token);
      logits = await decoder.forward([token]);
    }
    await sessions.closeAll();
  });
});

test.each([...OTHERS.map((name) => [name, 'gqa'] as const), ['qwen2', 'standard'] as const])('%s with %s attention is run as it is', async (name, attention) => {
  await expect(generationForm(await convert(name, { attention }))).rejects.toMatchObject({ code: 'E_UNSUPPORTED', hint: expect.any(String) as string });
});

// As the files of transformers.js have it: one product for queries, keys and values, rotated by the operator, lengths from the mask.
test.each([{}, { interleaved: 1 }, { window: 3 }, { softcap: 2 }, { pairs: 8 }])('queries that the operator rotates itself: %o', async (options) => {
  const model = packedDecoder(options);
  const { decoder, sessions } = await open(model);
  const bytes = await layoutToBytes(serializeOnnx(packedDecoder(options))[0]!);
  const info = await sessions.open({ kind: 'memory', bytes: bytes.buffer as ArrayBuffer, externalData: [] }, sessionSettings({ threads: 1 }, { bytes: 0, quantized: false, byPath: false }));
  const whole = new Decoder(sessions, info.handle, decoderLayout(info.inputs, info.outputs));
  for (const piece of [[3, 1, 4, 1, 5], [9], [2, 6]]) {
    const [ours, theirs] = [await decoder.forward(piece, piece.length), await whole.forward(piece)];
    for (const row of piece.keys()) ours.row(row).forEach((value, i) => expect(value).toBeCloseTo(theirs.row(row)[i]!, 4));
  }
  await sessions.closeAll();
});

test('a bias that is more than padding is not dropped', async () => {
  await expect(generationForm(packedDecoder({ alibi: true }))).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringContaining('more than padding') as string });
});

test('float16 stays close', async () => {
  for (const name of ['gemma2', 'qwen2', 'gpt2']) {
    const tensor = await recorded(name);
    const { decoder, sessions } = await open(await convert(name, { dtype: 'float16' }));
    let logits = await decoder.forward(numbers(await tensor('greedy.input_ids')));
    for (const token of numbers(await tensor('greedy.ids'))) {
      expect(best(logits.row(0))).toBe(token);
      logits = await decoder.forward([token]);
    }
    await sessions.closeAll();
  }
});

interface PackedOptions {
  readonly interleaved?: number;
  readonly window?: number;
  readonly softcap?: number;
  /** Of numbers that are rotated; all 16 pairs when absent. */
  readonly pairs?: number;
  readonly alibi?: boolean;
}

/** One layer, 4 heads of 32 that share 2 keys, 12 words. */
function packedDecoder({ interleaved = 0, window = -1, softcap = 0, pairs = 16, alibi = false }: PackedOptions): Model {
  const [heads, kvHeads, size, words] = [4, 2, 32, 12];
  const model = new Model();
  model.opsetImports.set('', 17).set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(3);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, denseOf('float32', shape, Array.from({ length: elementCount(shape) }, () => 0.4 * rng.normal())));
  const ids = b.input('input_ids', tensorType('int64', ['batch_size', 'sequence_length']));
  const mask = b.input('attention_mask', tensorType('int64', ['batch_size', 'total_sequence_length']));
  const past = ['key', 'value'].map((kind) => b.input(`past_key_values.0.${kind}`, tensorType('float32', ['batch_size', kvHeads, 'past_sequence_length', size])));
  const int32 = (x: Value): Value => b.op('Cast', [x], { to: 6 });
  const lengths = int32(b.op('Sub', [b.op('ReduceSum', [mask, b.constant('int64', [1])], { keepdims: 0 }), b.constant('int64', 1)]));
  const total = int32(b.op('Squeeze', [b.op('Shape', [mask], { start: 1, end: 2 })]));
  const table = (name: string, of: (x: number) => number): Value => b.initializer(name, denseOf('float32', [64, pairs], Array.from({ length: 64 * pairs }, (_, i) => of(Math.floor(i / pairs) / 100 ** ((i % pairs) / pairs)))));
  const x = b.op('MatMul', [b.op('Gather', [weight('words', words, 32), ids]), weight('qkv', 32, (heads + 2 * kvHeads) * size)]);
  const bias = alibi ? b.op('Unsqueeze', [b.op('Neg', [b.op('CumSum', [b.op('Cast', [mask], { to: 1 }), b.constant('int64', 1)])]), b.constant('int64', [1, 2])]) : undefined;
  const [mixed, key, value] = b.nodes('GroupQueryAttention', [x, null, null, ...past, lengths, total, table('cos', Math.cos), table('sin', Math.sin), null, bias], {
    num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1, rotary_interleaved: interleaved, ...(window > 0 && { local_window_size: window }), ...(softcap > 0 && { softcap: attribute.float(softcap) }),
  }, { domain: 'com.microsoft', outputCount: 3 });
  b.output(b.op('MatMul', [mixed, weight('head', heads * size, words)]), 'logits', tensorType('float32', ['batch_size', 'sequence_length', words]));
  const present = tensorType('float32', ['batch_size', kvHeads, 'total_sequence_length', size]);
  b.output(key!, 'present.0.key', present);
  b.output(value!, 'present.0.value', present);
  return model;
}
