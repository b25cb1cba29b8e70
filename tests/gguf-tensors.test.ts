/** Tensors of real GGUF files against gguf-py, and through a save with threads. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesOf, type Checkpoint, type DType, lazy, toDense } from '@penjing/core';
import { openGguf, openSafetensors, safetensorsLayout } from '@penjing/graph-io';
import { fileSource, saveLayouts } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { testData } from './tools/test-data.js';

const root = testData ?? '';
const common = join(root, 'gguf/types-common.gguf');

async function floatsOf({ tensors }: Checkpoint, name: string): Promise<Uint8Array> {
  return lazy.cast(tensors.get(name)!, 'float32').load();
}

describe.skipIf(!testData)('one tensor of each common type (needs PENJING_TESTDATA)', () => {
  test('has the bits that gguf-py gives', async () => {
    const { checkpoint } = await openGguf(await fileSource(common));
    const expected = await openSafetensors(await fileSource(join(root, 'gguf/types-common_expected.safetensors')));
    expect(expected.tensors.size).toBe(9);
    for (const name of expected.tensors.keys()) {
      expect(Buffer.from(await floatsOf(checkpoint, `t.${name}`)).equals(await floatsOf(expected, name)), name).toBe(true);
    }
  });

  test('saves as safetensors with the same bits', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'penjing-gguf-'));
    try {
      const { checkpoint } = await openGguf(await fileSource(common));
      await saveLayouts(join(folder, 'out'), safetensorsLayout(checkpoint));
      const saved = await openSafetensors(await fileSource(join(folder, 'out/model.safetensors')));
      const types = new Map([...saved.tensors].map(([name, { dtype }]) => [name, dtype] as [string, DType]));
      expect(types.get('t.BF16')).toBe('bfloat16');
      expect(types.get('t.Q6_K')).toBe('float32');
      for (const name of checkpoint.tensors.keys()) {
        expect(Buffer.from(await floatsOf(saved, name)).equals(await floatsOf(checkpoint, name)), name).toBe(true);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe.skipIf(!testData)('every real GGUF file (needs PENJING_TESTDATA)', () => {
  const { files } = JSON.parse(readFileSync(fileURLToPath(new URL('./fixtures/gguf/real.json', import.meta.url)), 'utf8')) as { readonly files: Readonly<Record<string, Readonly<Record<string, string>>>> };
  const found = testData ? readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.gguf')).map((name) => name.split(sep).join('/')) : [];

  test('is recorded', () => {
    expect(found.sort()).toEqual(Object.keys(files).sort());
  });

  test.each(found)('%s opens, and its weights have the bits that gguf-py gives', async (name) => {
    const { checkpoint } = await openGguf(await fileSource(join(root, name)));
    for (const [tensor, digest] of Object.entries(files[name]!)) {
      const own = createHash('sha256').update(await floatsOf(checkpoint, tensor)).digest('hex').slice(0, 16);
      expect(own, tensor).toBe(digest);
    }
  });
});

describe.skipIf(!testData)('stories260K (needs PENJING_TESTDATA)', () => {
  test('F32 has the weights of the safetensors, their queries and keys rearranged', async () => {
    const { checkpoint } = await openGguf(await fileSource(join(root, 'models/stories260k/gguf/stories260K-F32.gguf')));
    const hf = await openSafetensors(await fileSource(join(root, 'models/stories260k/hf/model.safetensors')));
    const load = async (from: Checkpoint, name: string): Promise<Buffer> => Buffer.from(await from.tensors.get(name)!.load());
    expect((await load(checkpoint, 'blk.2.ffn_down.weight')).equals(await load(hf, 'model.layers.2.mlp.down_proj.weight'))).toBe(true);
    expect((await load(checkpoint, 'token_embd.weight')).equals(await load(hf, 'model.embed_tokens.weight'))).toBe(true);
  });
});

test('a repacked Q8_0 matrix dequantizes to itself', async () => {
  const fixture = await openSafetensors(await fileSource(fileURLToPath(new URL('./fixtures/gguf/blocks.safetensors', import.meta.url))));
  const matrix = lazy.decode(fixture.tensors.get('Q8_0.blocks')!, 'Q8_0');
  const { planes: [plane], correction } = lazy.repack(matrix)!;
  const { values, scales, bits, blockSize } = plane!;
  expect([bits, blockSize, correction]).toEqual([8, 32, undefined]);
  const [codes, steps, wanted] = [await values.load(), (await toDense(scales)).data, await toDense(matrix)];
  const weights = Float32Array.from(codes, (code, i) => (code - 128) * (steps[Math.floor(i / 32)] as number));
  expect(Buffer.from(bytesOf(weights)).equals(wanted.bytes)).toBe(true);
  expect(lazy.repack(lazy.cast(matrix, 'float16'))).toBeUndefined();
});
