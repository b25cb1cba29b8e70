/** Decoders in GGUF files that gguf-py wrote, every architecture: the logits of transformers, and the same file written again. */
import { allNodes, memorySource } from '@penjing/core';
import { convertHuggingFace, type GgufFile, ggufLayout, ggufToHuggingFace, type HuggingFaceFolder, layoutToBytes, openGguf } from '@penjing/graph-io';
import { expect, test } from 'vitest';
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
  const { prompt, logits } = await expectedOf(name);
  expect(maxDifference(await logitsOf(await ggufToHuggingFace(ours, name), prompt), logits)).toBeLessThan(1e-4);
});
