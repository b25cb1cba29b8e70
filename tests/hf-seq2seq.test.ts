/** Converted encoder-decoders against what transformers computed with the same checkpoints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { allNodes, check, DenseTensor, inferShapes } from '@penjing/core';
import { type ConvertHuggingFaceOptions, convertHuggingFaceGraphs, layoutToBytes, openHuggingFaceFolder, serializeOnnx } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { argmax, type Floats, idsOf, maxDifference, recorded, type Recorded, rowsOf } from './support/hf-decoder.js';
import { EncoderDecoder, int64, type Tensors } from './support/hf-seq2seq.js';
import { testData } from './tools/test-data.js';

const fixtures = join(import.meta.dirname, 'fixtures', 'seq2seq');
const TOLERANCE = 1e-4;
const STEPS = 6;

interface Case {
  readonly name: string;
  readonly class: string;
  readonly task: string;
  readonly covers: readonly string[];
}
const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as { cases: Case[] };

async function load(folder: string, options: ConvertHuggingFaceOptions = {}): Promise<EncoderDecoder> {
  return EncoderDecoder.load(await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(folder)), options));
}

const floats = (tensor: DenseTensor): Floats => ({ data: tensor.data as Float32Array, shape: tensor.shape });
const ids = (of: Recorded, name: string): DenseTensor => int64(of.ids(name).shape, [...of.ids(name).data].map(Number));

/** Everything recorded: the encoder, the first step and those after it with the cache, and the tokens of highest logit. */
async function compare(model: EncoderDecoder, expected: Recorded, tolerance: number): Promise<void> {
  const audio = model.encoder.inputs.includes('input_features');
  const tensor = ({ data, shape }: Floats): DenseTensor => DenseTensor.of('float32', shape, data);
  const inputs: Tensors = audio
    ? { input_features: tensor(expected.floats('encoder.input_features')) }
    : { input_ids: ids(expected, 'encoder.input_ids'), attention_mask: ids(expected, 'encoder.attention_mask') };
  const mask = inputs['attention_mask'];
  const states = await model.encode(inputs);
  expect(maxDifference(floats(states), expected.floats('encoder.last_hidden_state'), mask && expected.ids('encoder.attention_mask'))).toBeLessThan(tolerance);

  const all = expected.ids('decoder.input_ids');
  const wanted = expected.floats('decoder.logits');
  const prefix = all.shape[1]! - STEPS;
  for (let start = 0; start < all.shape[1]!; start = start === 0 ? prefix : start + 1) {
    const end = start === 0 ? prefix : start + 1;
    const { data, shape } = idsOf(all, start, end);
    const logits = await model.decode(int64(shape, [...data].map(Number)), states, mask);
    expect([start, maxDifference(floats(logits), rowsOf(wanted, start, end)) < tolerance]).toEqual([start, true]);
  }

  const row = (of: DenseTensor): DenseTensor => {
    const [, ...rest] = of.shape;
    const count = rest.reduce((a, b) => a * b, 1);
    return DenseTensor.of(of.dtype, [1, ...rest], of.data.slice(0, count));
  };
  const first = await model.encode(Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, row(value)])));
  const greedy = [...expected.ids('greedy.ids').data].map(Number);
  const written = [greedy[0]!];
  while (written.length < greedy.length) written.push(argmax(floats(await model.decode(int64([1, 1], [written.at(-1)!]), first, mask && row(mask)))));
  expect(written).toEqual(greedy);
}

test.each(cases)('$class $name: $covers', async ({ name }) => {
  const folder = join(fixtures, name);
  await using model = await load(folder);
  await compare(model, await recorded(join(folder, 'expected.safetensors')), TOLERANCE);
});

test.each(['t5', 'whisper'])('%s in the oldest opset', async (name) => {
  await using model = await load(join(fixtures, name), { opset: 18 });
  await compare(model, await recorded(join(fixtures, name, 'expected.safetensors')), TOLERANCE);
});

test.each(['t5-gated', 'whisper'])('%s in float16: ports of the caches are halves, the others are not', async (name) => {
  const graphs = await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(fixtures, name))), { dtype: 'float16' });
  const types = [...graphs.values()].flatMap(({ graph }) => [...graph.inputs, ...graph.outputs]).map(({ name, type }) => [name, type?.kind === 'tensor' && type.dtype] as const);
  for (const [port, dtype] of types) {
    if (/^(past_key_values|present)\./.test(port)) expect([port, dtype]).toEqual([port, 'float16']);
    else expect([port, dtype]).not.toEqual([port, 'float16']);
  }
  await using model = await EncoderDecoder.load(graphs);
  const expected = await recorded(join(fixtures, name, 'expected.safetensors'));
  await expect(compare(model, expected, 0.2)).resolves.toBeUndefined();
});

test.each([['bart', 'BartModel'], ['marian', 'MarianModel']])('%s is the same graphs as the bare class stores it, without the module around it', async (name, className) => {
  const folder = await openHuggingFaceFolder(openFolder(join(fixtures, name)));
  const inside = [...folder.checkpoint.tensors].filter(([key]) => key.startsWith('model.'));
  const graphs = async (tensors: typeof inside, architecture: string) => {
    const models = await convertHuggingFaceGraphs({ ...folder, architecture, checkpoint: { ...folder.checkpoint, tensors: new Map(tensors) } });
    return Promise.all([...models.values()].map(async (model) => layoutToBytes(serializeOnnx(model)[0]!)));
  };
  const bare = await graphs(inside.map(([key, tensor]) => [key.slice('model.'.length), tensor]), className);
  expect(bare).toEqual(await graphs(inside, folder.architecture));
});

describe.skipIf(!testData)('tiny-t5', () => {
  test('gives what transformers computes', async () => {
    await using model = await load(join(testData!, 'models', 'tiny-t5'));
    await compare(model, await recorded(join(fixtures, 'tiny-t5.safetensors')), TOLERANCE);
  });
});

test.each(cases)('$name: sound graphs, ports as Optimum names them, weights once', async ({ name }) => {
  const graphs = await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(join(fixtures, name))));
  expect([...graphs.keys()]).toEqual(['encoder_model', 'decoder_model_merged']);
  for (const model of graphs.values()) {
    inferShapes(model);
    expect(check(model)).toEqual([]);
  }
  const decoder = graphs.get('decoder_model_merged')!;
  const layers = decoder.graph.inputs.filter(({ name }) => name.endsWith('.decoder.key')).length;
  const caches = Array.from({ length: layers }, (_, i) => ['decoder.key', 'decoder.value', 'encoder.key', 'encoder.value'].map((part) => `${i}.${part}`)).flat();
  const masked = name.startsWith('whisper') ? [] : ['encoder_attention_mask'];
  expect(decoder.graph.inputs.map(({ name }) => name)).toEqual([
    ...masked, 'input_ids', 'encoder_hidden_states', ...caches.map((part) => `past_key_values.${part}`), 'use_cache_branch',
  ]);
  expect(decoder.graph.outputs.map(({ name }) => name)).toEqual(['logits', ...caches.map((part) => `present.${part}`)]);
  for (const node of allNodes(decoder.graph)) for (const graph of node.subgraphs()) expect(graph.initializers.size).toBe(0);
});

describe('hostile configurations', () => {
  const keys = ['d_model', 'd_kv', 'num_layers', 'num_decoder_layers', 'num_heads', 'relative_attention_num_buckets', 'relative_attention_max_distance', 'feed_forward_proj',
    'layer_norm_epsilon', 'vocab_size', 'encoder_layers', 'decoder_attention_heads', 'max_position_embeddings', 'max_source_positions', 'num_mel_bins', 'activation_function',
    'scale_embedding', 'tie_word_embeddings', 'share_encoder_decoder_embeddings'];
  const value = fc.oneof(fc.integer(), fc.nat(40), fc.double(), fc.string({ maxLength: 8 }), fc.boolean(), fc.constant([]), fc.constant({}), fc.constantFrom(2 ** 26, 'gated-', 'gated-relu'));

  test.each(['t5', 'umt5', 'marian', 'mbart', 'whisper'])('%s: any values end in graphs or a typed error', async (name) => {
    const folder = await openHuggingFaceFolder(openFolder(join(fixtures, name)));
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 1, maxKeys: 2 }), async (changes) => {
        try {
          const graphs = await convertHuggingFaceGraphs({ ...folder, config: { ...folder.config, ...changes } });
          expect(graphs.size).toBe(2);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^E_(CONFIG|WEIGHTS|SHAPE|LIMIT)$/);
        }
      }),
      { numRuns: 60 },
    );
  });
});
