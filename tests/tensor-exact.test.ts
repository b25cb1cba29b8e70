/** Models cut into shards against the same models whole: converted decoders and mixtures of experts. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Model } from '@penjing/core';
import { type AttentionForm, convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { shardModel } from '@penjing/parallel';
import { quantizeWeights } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';
import { decoderFeeds } from './support/decoder-feeds.js';
import { randomMixtral } from './support/random-mixtral.js';
import { exchanges, largestShare, shardedCases } from './support/sharded-case.js';

const at = (...parts: string[]): string => fileURLToPath(new URL(join('..', ...parts), import.meta.url));
const convert = async (folder: string, attention: AttentionForm = 'gqa'): Promise<Model> => convertHuggingFace(await openHuggingFaceFolder(openFolder(folder)), { attention });
const on = (...shards: number[]) => shards.map((count) => ({ shards: count }));

describe('sapling', () => {
  test.each([['gqa', [2, 3, 4, 8]], ['standard', [2]]] as const)('%s: two sums a layer', async (attention, shards) => {
    const model = await convert(at('models/sapling'), attention);
    for (const { sharded, difference } of await shardedCases(model, decoderFeeds(model, { vocab: 4096, seq: 5 }), on(...shards))) {
      expect(difference).toBeLessThan(1e-5);
      const sums = exchanges(sharded, 'reduce');
      if (sharded.shards <= 4) {
        // the table of tokens, and two for each of four layers
        expect(sums).toHaveLength(1 + 2 * 4);
        expect(exchanges(sharded, 'gather')).toEqual([]);
        expect(sums.filter((name) => name.includes('layers.2'))).toHaveLength(2);
        expect(largestShare(model, sharded)).toBeLessThan(1 / sharded.shards + (sharded.shards === 3 ? 0.1 : 0.01));
      }
    }
  });

  test('int4: blocks of columns and of rows', async () => {
    const model = await convert(at('models/sapling'));
    await quantizeWeights({ bits: 4, blockSize: 32 }).run(model, {});
    for (const { sharded, difference } of await shardedCases(model, decoderFeeds(model, { vocab: 4096 }), on(2, 3))) {
      expect(difference).toBeLessThan(1e-5);
      if (sharded.shards <= 4) expect(exchanges(sharded, 'reduce').length + exchanges(sharded, 'gather').length).toBeLessThanOrEqual(1 + 2 * 4);
    }
  });
});

describe('mixtures of experts', () => {
  const ways = ['sliced', 'whole', 'only'] as const;

  test.each([['mixtral', 4], ['qwen2-moe', 4], ['qwen3-moe', 5]] as const)('%s: sliced, whole, and only experts', async (name, experts) => {
    const model = await convert(at('tests/fixtures/decoders', name));
    const cases = [2, 3, 4, 8].flatMap((shards) => ways.filter((way) => way !== 'only' || shards <= experts).map((way) => ({ shards, experts: way })));
    for (const { sharded, difference } of await shardedCases(model, decoderFeeds(model, { seq: 7 }), cases)) {
      expect(difference).toBeLessThan(1e-5);
      if (sharded.shards <= experts) expect(sharded.layers.flatMap(({ weights }) => weights).some((weight) => weight.includes('experts.'))).toBe(true);
    }
    expect(() => shardModel(model, { shards: 8, experts: 'only' })).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', message: `${experts} experts cannot be given out to 8 shards` }));
  });

  test('eleven experts on 2, 3, 4 and 8 shards: nothing else is cut, and one sum a layer', async () => {
    const model = await convertHuggingFace(await randomMixtral({ experts: 11 }), { attention: 'gqa' });
    const cases = [2, 3, 4, 8].flatMap((shards) => ways.map((experts) => ({ shards, experts })));
    for (const [i, { sharded, difference }] of (await shardedCases(model, decoderFeeds(model, { seq: 13 }), cases)).entries()) {
      expect(difference).toBeLessThan(1e-5);
      if (cases[i]!.experts !== 'only') continue;
      expect(exchanges(sharded, 'reduce')).toHaveLength(2);
      expect(exchanges(sharded, 'gather')).toEqual([]);
      const held = sharded.segments.map((segments) => segments.flatMap(({ graph }) => [...graph.initializers.keys()]).filter((name) => /layers\.0.*experts\.\d+\.w1/.test(name)).length);
      expect([Math.min(...held), Math.max(...held), held.reduce((a, b) => a + b)]).toEqual([Math.floor(11 / sharded.shards), Math.ceil(11 / sharded.shards), 11]);
      const others = sharded.segments.map((segments) => new Set(segments.flatMap(({ graph }) => [...graph.initializers.keys()]).filter((name) => name.endsWith('.weight') && !name.includes('experts.'))));
      for (const own of others) expect(own).toEqual(others[0]);
    }
  });

  test('whole experts: each on one shard, and one sum a layer for all of them', async () => {
    const model = await convert(at('tests/fixtures/decoders/mixtral'));
    const [{ sharded } = { sharded: undefined }] = await shardedCases(model, decoderFeeds(model), [{ shards: 2, experts: 'whole' }]);
    const held = sharded!.segments.map((segments) => segments.flatMap(({ graph }) => [...graph.initializers.keys()]).filter((weight) => weight.includes('experts.')).map((weight) => /layers\.\d+.*experts\.\d+/.exec(weight)![0]));
    expect(held[0]!.length).toBe(held[1]!.length);
    expect(held[0]!.filter((expert) => held[1]!.includes(expert))).toEqual([]);
    expect(exchanges(sharded!, 'reduce').filter((value) => value.includes('layers.1'))).toHaveLength(2);
    // every shard chooses experts by itself, from the same numbers
    for (const segments of sharded!.segments) expect(segments.flatMap(({ graph }) => [...graph.initializers.keys()]).filter((weight) => weight.includes('moe.gate.weight'))).toEqual(['model.layers.0.block_sparse_moe.gate.weight', 'model.layers.1.block_sparse_moe.gate.weight']);
  });
});

test.each(['gpt2', 'phi', 'falcon'])('%s', async (name) => {
  const model = await convert(at('tests/fixtures/decoders', name), 'standard');
  for (const { difference } of await shardedCases(model, decoderFeeds(model), on(2, 4))) expect(difference).toBeLessThan(1e-5);
});
