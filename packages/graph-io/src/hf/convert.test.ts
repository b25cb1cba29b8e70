import { allNodes, assertSound, type Model, type PenjingError } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { convertHuggingFace, type ConvertHuggingFaceOptions } from './convert.js';
import type { JsonObject } from './folder.js';
import { openHuggingFaceFolder } from './open.js';
import { memoryFolder, tinyConfig, tinyLlama, tinyShapes } from './testing/tiny-llama.js';

async function convert(
  config: JsonObject = tinyConfig,
  options: ConvertHuggingFaceOptions = {},
  shapes = tinyShapes,
): Promise<Model> {
  const model = await convertHuggingFace(await openHuggingFaceFolder(await tinyLlama(config, shapes)), options);
  assertSound(model);
  return model;
}

async function failure(promise: Promise<unknown>): Promise<PenjingError> {
  return promise.then(
    () => expect.fail('it did not throw'),
    (error: PenjingError) => error,
  );
}

const without = (name: string): typeof tinyShapes => Object.fromEntries(Object.entries(tinyShapes).filter(([key]) => key !== name));

describe('a Llama', () => {
  test('has the inputs and outputs of Optimum, in their order', async () => {
    const { graph } = await convert();
    const describe = (values: typeof graph.inputs): string[] =>
      values.map(({ name, type }) => (type?.kind === 'tensor' ? `${name} ${type.dtype} ${type.shape?.join(' ')}` : name));
    expect(describe(graph.inputs)).toEqual([
      'input_ids int64 batch_size sequence_length',
      'attention_mask int64 batch_size total_sequence_length',
      'position_ids int64 batch_size sequence_length',
      'past_key_values.0.key float32 batch_size 1 past_sequence_length 8',
      'past_key_values.0.value float32 batch_size 1 past_sequence_length 8',
      'past_key_values.1.key float32 batch_size 1 past_sequence_length 8',
      'past_key_values.1.value float32 batch_size 1 past_sequence_length 8',
    ]);
    expect(describe(graph.outputs)).toEqual([
      'logits float32 batch_size sequence_length 11',
      'present.0.key float32 batch_size 1 total_sequence_length 8',
      'present.0.value float32 batch_size 1 total_sequence_length 8',
      'present.1.key float32 batch_size 1 total_sequence_length 8',
      'present.1.value float32 batch_size 1 total_sequence_length 8',
    ]);
  });

  test('names weights after the checkpoint and nodes after its modules', async () => {
    const { graph } = await convert();
    const weights = [...graph.initializers.keys()].filter((name) => !name.startsWith('constant'));
    expect(weights.sort()).toEqual(Object.keys(tinyShapes).sort());
    const names = [...graph.nodes()].map(({ name }) => name);
    expect(names).toContain('model/layers.1/self_attn/q_proj/MatMul');
    expect(new Set(names).size).toBe(names.length);
  });

  test('multiplies by matrices (inputs, outputs), lazily turned', async () => {
    const { graph } = await convert();
    const down = graph.initializers.get('model.layers.0.mlp.down_proj.weight')!;
    expect(down.tensor).toMatchObject({ kind: 'lazy', shape: [6, 16], dtype: 'float32' });
    expect(down.uses().map(({ node, index }) => `${node.opType} ${index}`)).toEqual(['MatMul 1']);
  });

  test('in gqa form uses the fast operators, in standard form only ai.onnx', async () => {
    const domains = async (attention: 'gqa' | 'standard'): Promise<string[]> => {
      const model = await convert(tinyConfig, { attention });
      const used = new Set([...allNodes(model.graph)].map(({ domain }) => domain));
      expect([...model.opsetImports.keys()].sort()).toEqual([...used].sort());
      return [...used];
    };
    expect(await domains('gqa')).toEqual(['', 'com.microsoft']);
    expect(await domains('standard')).toEqual(['']);
  });

  test('with heads that the fast operator refuses has the standard form', async () => {
    const narrow = { ...tinyConfig, num_attention_heads: 4, num_key_value_heads: 2 };
    const model = await convert(narrow, { attention: 'gqa' });
    expect([...model.opsetImports.keys()]).toEqual(['']);
  });

  test('stores tied embeddings once', async () => {
    const tied = { ...tinyConfig, tie_word_embeddings: true };
    const { graph } = await convert(tied, {}, without('lm_head.weight'));
    const table = graph.initializers.get('model.embed_tokens.weight')!;
    expect(table.uses().map(({ node }) => node.opType).sort()).toEqual(['Gather', 'Transpose']);
    expect(graph.initializers.has('lm_head.weight')).toBe(false);
  });

  test('takes tied embeddings from the head when only the head is stored', async () => {
    const tied = { ...tinyConfig, tie_word_embeddings: true };
    const { graph } = await convert(tied, {}, without('model.embed_tokens.weight'));
    expect(graph.initializers.get('model.embed_tokens.weight')?.tensor?.shape).toEqual([11, 16]);
  });

  test('does not tie what the checkpoint stores twice and differently', async () => {
    const { graph } = await convert({ ...tinyConfig, tie_word_embeddings: true });
    expect(graph.initializers.has('lm_head.weight')).toBe(true);
  });

  test('in float16 has half weights and caches and float32 logits', async () => {
    const { graph } = await convert(tinyConfig, { dtype: 'float16' });
    expect(graph.inputs[3]?.type).toMatchObject({ dtype: 'float16' });
    expect(graph.outputs.map(({ type }) => (type?.kind === 'tensor' ? type.dtype : ''))).toEqual(['float32', ...Array<string>(4).fill('float16')]);
    expect(graph.initializers.get('model.norm.weight')?.tensor?.dtype).toBe('float16');
  });

  test('is known by its type when the config names no class', async () => {
    expect((await convert({ ...tinyConfig, architectures: null })).graph.outputs[0]?.name).toBe('logits');
  });

  test('ignores the rotary buffers of old checkpoints', async () => {
    await convert(tinyConfig, {}, { ...tinyShapes, 'model.layers.0.self_attn.rotary_emb.inv_freq': [4] });
  });
});

describe('what cannot be converted is named', () => {
  test.each<[string, JsonObject, string, RegExp]>([
    ['architecture', { architectures: ['MambaForCausalLM'] }, 'E_ARCHITECTURE', /MambaForCausalLM/],
    ['missing field', { hidden_size: null }, 'E_CONFIG', /hidden_size is missing/],
    ['wrong type', { num_hidden_layers: '2' }, 'E_CONFIG', /num_hidden_layers is "2"/],
    ['activation', { hidden_act: 'mish' }, 'E_CONFIG', /hidden_act "mish" is not supported/],
    ['rope type', { rope_scaling: { rope_type: 'su', factor: 2 } }, 'E_CONFIG', /rope_type "su"/],
    ['rope field', { rope_scaling: { type: 'linear' } }, 'E_CONFIG', /rope_scaling: factor is missing/],
    ['partial rotation', { rope_parameters: { rope_type: 'linear', factor: 2, partial_rotary_factor: 0.5 } }, 'E_CONFIG', /partial_rotary_factor 0.5/],
    ['heads', { num_key_value_heads: 3 }, 'E_CONFIG', /num_key_value_heads is 3, it must be a divisor/],
    ['quantized', { quantization_config: { quant_method: 'awq' } }, 'E_CONFIG', /quantization_config/],
    ['huge size', { head_dim: 2 ** 40 }, 'E_CONFIG', /head_dim/],
    ['too many layers', { num_hidden_layers: 2 ** 25 }, 'E_CONFIG', /num_hidden_layers is 33554432, it must be a size from 1 to 1024/],
    ['odd head', { head_dim: 3 }, 'E_CONFIG', /even width, not 3/],
  ])('%s', async (_, change, code, message) => {
    const error = await failure(convert({ ...tinyConfig, ...change }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test('an unknown activation comes with the known ones', async () => {
    const error = await failure(convert({ ...tinyConfig, hidden_act: 'mish' }));
    expect(error.hint).toMatch(/^Supported here: silu, swish, gelu, /);
  });

  test('a missing weight', async () => {
    const error = await failure(convert(tinyConfig, {}, without('model.layers.1.mlp.up_proj.weight')));
    expect(error).toMatchObject({ code: 'E_WEIGHTS', message: 'the checkpoint has no tensor model.layers.1.mlp.up_proj.weight' });
  });

  test('a weight of another shape', async () => {
    const error = await failure(convert(tinyConfig, {}, { ...tinyShapes, 'model.norm.weight': [9] }));
    expect(error).toMatchObject({ code: 'E_WEIGHTS', message: 'model.norm.weight is [9], config.json makes it [16]' });
  });

  test('weights without a place', async () => {
    const error = await failure(convert(tinyConfig, {}, { ...tinyShapes, 'model.layers.0.self_attn.q_norm.weight': [8] }));
    expect(error).toMatchObject({ code: 'E_WEIGHTS', message: expect.stringContaining('q_norm.weight') as string });
  });

  test('a biased checkpoint whose config says nothing of biases', async () => {
    const error = await failure(convert(tinyConfig, {}, { ...tinyShapes, 'model.layers.0.self_attn.q_proj.bias': [16] }));
    expect(error).toMatchObject({ code: 'E_WEIGHTS', message: expect.stringContaining('q_proj.bias') as string });
  });

  test.each([
    [{ opset: 17 }, /opset 17/],
    [{ dtype: 'bfloat16' as 'float16' }, /dtype bfloat16/],
    [{ attention: 'flash' as 'gqa' }, /attention flash/],
  ])('option %o', async (options, message) => {
    const error = await failure(convert(tinyConfig, options));
    expect(error.code).toBe('E_OPTION');
    expect(error.message).toMatch(message);
  });
});

describe('a folder that is no model', () => {
  test.each<[string, Parameters<typeof memoryFolder>[0], string, RegExp]>([
    ['no config', { 'model.safetensors': '' }, 'E_FORMAT', /has no config.json/],
    ['no weights', { 'config.json': tinyConfig }, 'E_WEIGHTS', /neither model.safetensors nor/],
    ['bad JSON', { 'config.json': '{' }, 'E_CONFIG', /config.json is not JSON/],
    ['a list', { 'config.json': '[]' }, 'E_CONFIG', /no JSON object/],
    ['bad UTF-8', { 'config.json': Uint8Array.of(0x7b, 0xff, 0x7d) }, 'E_CONFIG', /not JSON/],
    ['deep JSON', { 'config.json': `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}` }, 'E_LIMIT', /nested deeper than 64/],
    ['bad class', { 'config.json': { architectures: 'x' } }, 'E_CONFIG', /architectures is "x"/],
  ])('%s', async (_, files, code, message) => {
    const error = await failure(openHuggingFaceFolder(memoryFolder(files)));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});
