/** Tiny Llamas in GGUF files whose matrices all have one block format, and the two ways to convert them compared. */
import { fileURLToPath } from 'node:url';
import { allNodes, memorySource } from '@penjing/core';
import { convertHuggingFace, type ConvertHuggingFaceOptions, ggufToHuggingFace, openGguf, openSafetensors } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { type BlockCodecName, blockCodecs, plainKernels } from '@penjing/kernels';
import { testEngine } from './ort-session.js';
import { expect } from 'vitest';
import { gguf, ggufBytes } from './gguf-bytes.js';
import { CachedDecoder, type Floats, type Ids, maxDifference } from './hf-decoder.js';

/** A Llama whose matrices all have one block format, of recorded blocks with tame values. */
async function llamaOf(codec: BlockCodecName): Promise<Uint8Array> {
  const { blockBytes, blockSize } = blockCodecs[codec];
  const code = codes[codec];
  const blocks = (await fixture.get(`${codec}.blocks`)!.load()).slice();
  // scales of random bytes reach far: a smaller exponent
  if (codec === 'NVFP4') for (let at = 0; at < blocks.length; at += blockBytes) for (let i = 0; i < 4; i++) blocks[at + i]! &= 31;
  const kernels = plainKernels({ arenaBytes: 0 });
  const tame = Array.from({ length: blocks.length / blockBytes }, (_, i) => blocks.subarray(i * blockBytes, (i + 1) * blockBytes)).filter((src) => {
    const dst = new Float32Array(blockSize);
    kernels.decodeBlocks({ codec, src, dst });
    return dst.every((value) => Math.abs(value) < 2);
  });
  expect(tame.length).toBeGreaterThan(3);
  const shapes: Readonly<Record<string, readonly number[]>> = {
    'token_embd.weight': [32, 256], 'output_norm.weight': [256], 'blk.0.attn_norm.weight': [256], 'blk.0.ffn_norm.weight': [256],
    'blk.0.attn_q.weight': [256, 256], 'blk.0.attn_k.weight': [128, 256], 'blk.0.attn_v.weight': [128, 256], 'blk.0.attn_output.weight': [256, 256],
    'blk.0.ffn_gate.weight': [256, 256], 'blk.0.ffn_up.weight': [256, 256], 'blk.0.ffn_down.weight': [256, 256],
  };
  const bytesOf = (shape: readonly number[]): number => (shape.length === 1 ? 1024 : (shape[0]! * 256 * blockBytes) / blockSize);
  let data = 0;
  const infos = Object.entries(shapes).map(([name, shape]) => {
    const info = gguf.info(name, [...shape].reverse(), shape.length === 1 ? 0 : code, data);
    data += Math.ceil(bytesOf(shape) / 32) * 32;
    return info;
  });
  const u32 = (key: string, value: number): Uint8Array => gguf.pair(`llama.${key}`, 4, gguf.u32(value));
  const bytes = ggufBytes({
    pairs: [
      gguf.pair('general.architecture', 8, gguf.string('llama')), gguf.pair('llama.attention.layer_norm_rms_epsilon', 6, gguf.f32(1e-5)),
      u32('block_count', 1), u32('context_length', 64), u32('embedding_length', 256), u32('feed_forward_length', 256),
      u32('attention.head_count', 4), u32('attention.head_count_kv', 2),
    ],
    infos, data,
  });
  let next = 0;
  for (const { offset, shape, byteLength } of (await openGguf(memorySource(bytes))).tensors.values()) {
    if (shape.length === 1) new Float32Array(bytes.buffer, offset, 256).fill(1);
    else for (let at = 0; at < byteLength; at += blockBytes) bytes.set(tame[(next = (next * 5 + 3) % 8191) % tame.length]!, offset + at);
  }
  return bytes;
}

const fixture = (await openSafetensors(await fileSource(fileURLToPath(new URL('../fixtures/gguf/blocks.safetensors', import.meta.url))))).tensors;
// prettier-ignore
const codes: Readonly<Record<BlockCodecName, number>> = {
  Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q8_0: 8, Q2_K: 10, Q3_K: 11, Q4_K: 12, Q5_K: 13, Q6_K: 14, Q8_K: 15, IQ2_XXS: 16, IQ2_XS: 17, IQ3_XXS: 18,
  IQ1_S: 19, IQ4_NL: 20, IQ3_S: 21, IQ2_S: 22, IQ4_XS: 23, IQ1_M: 29, TQ1_0: 34, TQ2_0: 35, MXFP4: 39, NVFP4: 40, Q1_0: 41,
};

/** Throws unless a model of this format gives the same logits with its blocks kept as with its weights as floats. */
export async function expectExactBlocks(codec: BlockCodecName): Promise<void> {
  const folder = await ggufToHuggingFace(await openGguf(memorySource(await llamaOf(codec))), codec);
  const prompt: Ids = { data: BigInt64Array.of(1n, 5n, 30n, 2n, 9n), shape: [1, 5] };
  const run = async (blocks: ConvertHuggingFaceOptions['blocks']): Promise<{ logits: Floats; operators: Set<string>; }> => {
    const model = await convertHuggingFace(folder, blocks ? { blocks } : {});
    const operators = new Set([...allNodes(model.graph)].map(({ opType }) => opType));
    await using llama = new CachedDecoder(await testEngine().load(model));
    return { logits: await llama.forward(prompt), operators };
  };
  const [floats, exact] = [await run('float'), await run(undefined)];
  expect(floats.operators).not.toContain('MatMulNBits');
  expect(exact.operators).toContain('MatMulNBits');
  expect(exact.operators).toContain('GatherBlockQuantized');
  const scale = Math.max(...floats.logits.data.map(Math.abs));
  expect(maxDifference(exact.logits, floats.logits)).toBeLessThan(1e-4 * Math.max(1, scale));
}
