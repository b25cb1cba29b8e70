/** Attention of converted models, fused: the operators that come out, and ONNX Runtime's outputs of the models before. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { allNodes, check, type DenseTensor, denseOf, type Dim, type Feeds, memorySource, type Model } from '@penjing/core';
import { type Fusions, simplify } from '@penjing/core/rewrite';
import { convertHuggingFaceGraphs, openHuggingFaceFolder, openPt2 } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { testEngine } from './support/ort-session.js';
import { expect, test } from 'vitest';

const fixtures = join(import.meta.dirname, 'fixtures');
const TOLERANCE = 1e-5;
const [MHA, ATTENTION] = ['com.microsoft.MultiHeadAttention', 'Attention'];

type Make = () => Promise<Model>;
const pt2 = (name: string): Make => () => { const path = join(fixtures, 'pt2/models', `${name}.pt2`); return openPt2(memorySource(readFileSync(path), path)); };
const hf = (folder: string, graph: string): Make => async () =>
  (await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(fixtures, folder))), { attention: 'standard' })).get(graph)!;

/** How many of which operator at opset 21 with ONNX Runtime's own, and at 23 with those of ai.onnx. */
const cases: [name: string, make: Make, contrib: Record<string, number>, standard: Record<string, number>][] = [
  ...['encoder.decomposed', 'vit', 'swin', 'swin.decomposed'].map((name): [string, Make, Record<string, number>, Record<string, number>] =>
    [`${name}.pt2`, pt2(name), { [MHA]: 2 }, { [ATTENTION]: 2 }]),
  ['BERT', hf('encoders/bert-bare', 'model'), { [MHA]: 2 }, { [ATTENTION]: 2 }],
  ['ModernBERT', hf('encoders/modernbert-bare', 'model'), { [MHA]: 3 }, { [ATTENTION]: 3 }],
  ['ViT', hf('encoders/vit-bare', 'model'), { [MHA]: 2 }, { [ATTENTION]: 2 }],
  ['T5 encoder', hf('seq2seq/t5', 'encoder_model'), { [MHA]: 2 }, { [ATTENTION]: 2 }],
  ['T5 decoder', hf('seq2seq/t5', 'decoder_model_merged'), { [MHA]: 4 }, { [ATTENTION]: 2 }],
  ['Whisper decoder', hf('seq2seq/whisper', 'decoder_model_merged'), { [MHA]: 6 }, { [ATTENTION]: 4 }],
  ['GPT-2', hf('decoders/gpt2', 'model'), { [MHA]: 2 }, { [ATTENTION]: 2 }],
  ['Qwen2, four heads for two of keys', hf('decoders/qwen2', 'model'), {}, { [ATTENTION]: 2 }],
  ['Gemma 2, whose scores are capped', hf('decoders/gemma2', 'model'), {}, {}],
];

const SIZES: Readonly<Record<string, number>> = {
  sequence_length: 3, past_sequence_length: 4, total_sequence_length: 7, encoder_sequence_length: 6, decoder_sequence_length: 2, past_decoder_sequence_length: 4,
  'past_decoder_sequence_length + decoder_sequence_length': 6, past_encoder_sequence_length: 6, src_dim1: 5,
};

/** Seeded; ids are small, and masks hide some tokens. */
function feedsOf(model: Model, useCache: boolean): Feeds {
  let seed = 1;
  const random = (): number => { seed = (seed * 48271) % 2147483647; return seed / 2147483647; };
  return Object.fromEntries(model.graph.inputs.map(({ name, type }) => {
    if (type?.kind !== 'tensor' || !type.dtype || !type.shape) throw new Error(name);
    const shape = type.shape.map((dim: Dim) => (typeof dim === 'number' ? dim : (SIZES[dim ?? ''] ?? 2)));
    const count = shape.reduce((a, b) => a * b, 1);
    const number = (i: number): number => {
      if (name === 'use_cache_branch') return Number(useCache);
      if (name.includes('mask')) return i === 0 || i % 5 === 3 ? 0 : 1;
      return type.dtype === 'float32' ? random() * 2 - 1 : Math.floor(random() * 2);
    };
    return [name, denseOf(type.dtype, shape, Array.from({ length: count }, (_, i) => number(i)))];
  }));
}

function difference(a: DenseTensor, b: DenseTensor): number {
  expect(b.shape).toEqual(a.shape);
  const [x, y] = [a.data, b.data] as [Float32Array, Float32Array];
  const scale = Math.max(1e-30, ...x.map(Math.abs));
  return x.reduce((worst, value, i) => Math.max(worst, Math.abs(value - y[i]!) / scale), 0);
}

test.each(cases)('%s', { timeout: 60_000 }, async (_, make, contrib, standard) => {
  const engine = testEngine();
  const original = await make();
  await using before = await engine.load(original);
  for (const [fusions, opset, expected] of [['onnxruntime', undefined, contrib], ['standard', 23, standard]] as [Fusions, number | undefined, Record<string, number>][]) {
    const { model, nodesBefore, nodesAfter } = await simplify({ engine, fusions, ...(opset && { opset }) }).run(await make(), {});
    expect(check(model)).toEqual([]);
    const counts: Record<string, number> = {};
    for (const { domain, opType } of allNodes(model.graph)) if (opType.endsWith('Attention')) counts[domain ? `${domain}.${opType}` : opType] = (counts[domain ? `${domain}.${opType}` : opType] ?? 0) + 1;
    expect(counts).toEqual(expected);
    expect(nodesAfter).toBeLessThan(nodesBefore);
    await using after = await engine.load(model);
    for (const useCache of original.graph.inputs.some(({ name }) => name === 'use_cache_branch') ? [false, true] : [false]) {
      const feeds = feedsOf(original, useCache);
      const [a, b] = [await before.run(feeds), await after.run(feeds)];
      for (const name of Object.keys(a)) expect(difference(a[name] as DenseTensor, b[name] as DenseTensor), `${fusions} ${name}`).toBeLessThan(TOLERANCE);
    }
  }
});
