/** Decoders in GGUF files that gguf-py wrote, every architecture: the logits of transformers, and the same file written again. */
import { allNodes, isPenjingError, lazy, memorySource } from '@penjing/core';
import { convertHuggingFace, type GgufFile, ggufLayout, ggufToHuggingFace, type GgufValue, type HuggingFaceFolder, layoutToBytes, type ModelFolder, openGguf } from '@penjing/graph-io';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ggufArchitectures } from '../packages/graph-io/src/gguf/architectures.js';
import { expectedOf, ggufCases, logitsOf, openCase } from './support/gguf-models.js';
import { maxDifference } from './support/hf-decoder.js';

test('every architecture has a case', () => {
  expect(new Set(ggufCases.map(({ architecture }) => architecture))).toEqual(new Set(ggufArchitectures.map(({ name }) => name)));
});

test.each(ggufCases.map(({ name }) => name))('%s gives the logits of transformers', async (name) => {
  const { model } = await openCase(name);
  const { prompt, logits } = await expectedOf(name);
  expect(maxDifference(await logitsOf(model, prompt), logits)).toBeLessThan(1e-4);
});

test.each(['mixtral', 'mixtral-split', 'qwen2-moe', 'qwen3-moe'])('%s keeps the blocks of its experts, to the logits of its weights as floats', async (name) => {
  const { model } = await openCase(name);
  const { prompt } = await expectedOf(name);
  const operators = [...allNodes((await convertHuggingFace(model)).graph)].filter(({ opType }) => opType === 'MatMulNBits');
  expect(operators.filter(({ name: node }) => node.includes('experts')).length).toBeGreaterThanOrEqual(2 * 4 * 3);
  expect(maxDifference(await logitsOf(model, prompt), await logitsOf(model, prompt, { blocks: 'float' }))).toBeLessThan(1e-4);
});

async function written(model: HuggingFaceFolder, type: 'F32' | 'F16'): Promise<GgufFile> {
  const [layout] = ggufLayout(model, { type });
  return openGguf(memorySource(await layoutToBytes(layout!)));
}

// the file with experts one by one is of a time when llama.cpp did not stack them
test.each(ggufCases.filter(({ name }) => name !== 'mixtral-split'))('$name is written as gguf-py wrote it', async ({ name, type: whole }) => {
  const { file, model } = await openCase(name);
  const ours = await written(model, whole === 'F16' ? 'F16' : 'F32');
  expect([...ours.tensors.keys()].sort()).toEqual([...file.tensors.keys()].sort());
  for (const [own, { type, shape, source, offset, byteLength }] of file.tensors) {
    const tensor = ours.tensors.get(own)!;
    expect(tensor.shape, own).toEqual(shape);
    if (type.codec) continue;
    // the router of experts and what has one axis is F32 in both
    expect(tensor.type.name, own).toBe(type.name);
    const [a, b] = [await tensor.source.read(tensor.offset, byteLength), await source.read(offset, byteLength)];
    const floats = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);
    if (own.startsWith('rope_freqs') || own.endsWith('norm.weight')) floats(a).forEach((value, i) => { expect(value).toBeCloseTo(floats(b)[i]!, 5); });
    else expect(Buffer.from(a).equals(b), own).toBe(true);
  }
  const [prefix, skipped] = [`${file.metadata.get('general.architecture') as string}.`, /vocab_size|rope\.scaling\.attn_factor|key_length|value_length|head_count_kv|dimension_count/];
  for (const [key, value] of file.metadata) {
    if (!key.startsWith(prefix) || skipped.test(key)) continue;
    const own = ours.metadata.get(key);
    if (typeof value === 'number') expect(own, key).toBeCloseTo(value, 6);
    else expect(own, key).toEqual(value);
  }
  // where blocks have become floats, the bytes above say nothing
  if (whole === 'F16') return;
  const { prompt, logits } = await expectedOf(name);
  expect(maxDifference(await logitsOf(await ggufToHuggingFace(ours, name), prompt), logits)).toBeLessThan(1e-4);
});

test('a vocabulary of unknown rules is named, and the tokenizer.json beside the file takes its place', async () => {
  const { file } = await openCase('llama');
  const metadata = new Map(file.metadata).set('tokenizer.ggml.pre', 'kimi-k2');
  await expect(ggufToHuggingFace({ ...file, metadata }, 'x')).rejects.toMatchObject({ code: 'E_TOKENIZER', message: expect.stringContaining('kimi-k2') as string });
  const beside = (files: Readonly<Record<string, string>>): ModelFolder => ({
    name: 'beside', list: () => Promise.resolve(Object.keys(files)), open: (name) => Promise.resolve(memorySource(new TextEncoder().encode(files[name]))),
  });
  await expect(ggufToHuggingFace({ ...file, metadata }, 'x', beside({}))).rejects.toMatchObject({ code: 'E_TOKENIZER' });
  const { folder, files } = await ggufToHuggingFace({ ...file, metadata }, 'x', beside({ 'tokenizer.json': '{"own":1}' }));
  expect(files).not.toContain('tokenizer_config.json');
  const source = await folder.open('tokenizer.json');
  expect(JSON.parse(new TextDecoder().decode(await source.read(0, source.size)))).toEqual({ own: 1 });
});

describe('what a stack of experts must be', () => {
  test.each([
    ['flat', [8, 32], 'E_WEIGHTS', 'blk.0.ffn_up_exps.weight'],
    ['of too many', [2 ** 20, 1, 1], 'E_LIMIT', 'blk.0.ffn_up_exps.weight'],
  ] as const)('%s', async (_, shape, code, named) => {
    const { file } = await openCase('mixtral');
    const tensors = new Map(file.checkpoint.tensors).set('blk.0.ffn_up_exps.weight', lazy.reshape(lazy.fill('float32', [shape.reduce((a, b) => a * b, 1)], 0), shape));
    await expect(ggufToHuggingFace({ ...file, checkpoint: { ...file.checkpoint, tensors } }, 'x')).rejects.toMatchObject({ code, message: expect.stringContaining(named) as string });
  });

  test('any change to the metadata ends in a model or a typed error', async () => {
    const { file } = await openCase('qwen3-moe');
    const value = fc.oneof(fc.constant(0), fc.constant(-1), fc.constant(2 ** 31), fc.double(), fc.string(), fc.boolean(), fc.constant([1, 2]), fc.constant(Int32Array.of(4, 2)), fc.constant(undefined));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...file.metadata.keys()), value, async (key, changed) => {
        const metadata = new Map<string, GgufValue>(file.metadata);
        if (changed === undefined) metadata.delete(key);
        else metadata.set(key, changed);
        const error: unknown = await ggufToHuggingFace({ ...file, metadata }, 'x').then((model) => convertHuggingFace(model)).then(() => undefined, (thrown: unknown) => thrown);
        expect(error === undefined || isPenjingError(error), String(error)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

describe('what llama.cpp does not compute is refused', () => {
  test.each([
    ['smollm3', { no_rope_layers: [1, 1, 1, 1] }, 'E_CONFIG', 'no_rope_layers'],
    ['gemma2', { attn_logit_softcapping: null }, 'E_CONFIG', 'attn_logit_softcapping'],
    ['gemma2', { query_pre_attn_scalar: 20 }, 'E_CONFIG', 'query_pre_attn_scalar'],
    ['gemma2', { layer_types: ['full_attention', 'full_attention', 'full_attention'] }, 'E_CONFIG', 'layer_types'],
    ['gemma3', { layer_types: null, sliding_window_pattern: 3 }, 'E_CONFIG', 'layer_types'],
    ['cohere2', { layer_types: null, sliding_window_pattern: 2 }, 'E_CONFIG', 'layer_types'],
    ['command-r', { use_qk_norm: true }, 'E_CONFIG', 'use_qk_norm'],
    ['olmo3', { layer_types: ['full_attention', 'full_attention', 'full_attention', 'full_attention'] }, 'E_CONFIG', 'layer_types'],
    ['falcon', { alibi: true }, 'E_CONFIG', 'alibi'],
    ['falcon', { parallel_attn: false }, 'E_CONFIG', 'parallel_attn'],
    ['gpt-bigcode', { scale_attn_weights: false }, 'E_CONFIG', 'scale_attn_weights'],
    ['gpt2', { scale_attn_by_inverse_layer_idx: true }, 'E_CONFIG', 'scale_attn_by_inverse_layer_idx'],
    ['qwen2-moe', { norm_topk_prob: true }, 'E_CONFIG', 'norm_topk_prob'],
    ['qwen3-moe', { mlp_only_layers: [1] }, 'E_CONFIG', 'mlp_only_layers'],
    ['llama', { hidden_act: 'gelu' }, 'E_CONFIG', 'hidden_act'],
    ['llama', { rope_scaling: { rope_type: 'longrope', short_factor: new Array(8).fill(1), long_factor: new Array(8).fill(2) } }, 'E_CONFIG', 'longrope'],
    ['llama-bias', { model_type: 'qwen3' }, 'E_WEIGHTS', 'bias'],
    ['llama', { model_type: 'opt' }, 'E_ARCHITECTURE', 'opt'],
  ])('%s with %j', async (name, change, code, named) => {
    const { model } = await openCase(name);
    expect(() => ggufLayout({ ...model, config: { ...model.config, ...change } })).toThrow(expect.objectContaining({ code, message: expect.stringContaining(named) as string }) as Error);
  });

  test('a window that llama.cpp does not know ends the context', async () => {
    const { model } = await openCase('mistral');
    const [layout] = ggufLayout({ ...model, config: { ...model.config, model_type: 'mistral', sliding_window: 20 } });
    expect((await openGguf(memorySource(await layoutToBytes(layout!)))).metadata.get('llama.context_length')).toBe(20);
  });
});
