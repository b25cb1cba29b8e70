/** The form for generation against what transformers computed with the same checkpoints. */
import { readdirSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DenseTensor, GraphBuilder, memorySource, type Model, toDense } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, layoutToBytes, openHuggingFaceFolder, openSafetensors, serializeOnnx } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { sessionSettings } from '../engine/settings.js';
import { BufferedDecoder } from '../worker/buffered-decoder.js';
import { packedDecoder } from '../testing/packed-decoder.js';
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

test('rows share a run unless what one gives depends on the others', async () => {
  for (const [name, alone] of [['phi3-longrope', true], ['phi4-mini', true], ['phi3', false], ['gemma3', false], ['gpt2', false]] as const) expect((await generationForm(await convert(name))).form.alone).toBe(alone);
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

test('a decoder that takes its positions from how long a cache is, is run as it is', async () => {
  const model = packedDecoder({});
  const b = new GraphBuilder(model.graph);
  const past = model.graph.inputs.find(({ name }) => name.startsWith('past_key_values.'))!;
  const ids = model.graph.inputs.find(({ name }) => name === 'input_ids')!;
  const [first] = model.graph.nodes();
  const shifted = b.before(first!, () => b.op('Sub', [b.op('Add', [ids, b.op('Shape', [past], { start: 2, end: 3 })]), b.op('Shape', [past], { start: 2, end: 3 })]));
  for (const { node, index } of [...ids.uses()]) if (node.opType !== 'Add') node.setInput(index, shifted);
  await expect(generationForm(model)).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringContaining(past.name) as string });
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
