/** All converted decoders cut into shards against the same models whole. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Model } from '@penjing/core';
import { type AttentionForm, convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { decoderFeeds } from './support/decoder-feeds.js';
import { decoderCases } from './support/hf-decoder-suite.js';
import { shardedCases } from './support/sharded-case.js';

const at = (...parts: string[]): string => fileURLToPath(new URL(join('..', ...parts), import.meta.url));
const convert = async (folder: string, attention: AttentionForm = 'gqa'): Promise<Model> => convertHuggingFace(await openHuggingFaceFolder(openFolder(folder)), { attention });
const on = (...shards: number[]) => shards.map((count) => ({ shards: count }));

describe.each([['gqa', [2, 8]], ['standard', [3, 4]]] as const)('%s decoders', (attention, shards) => {
  test.each(decoderCases('decoders'))('$name', async ({ name }) => {
    const model = await convert(at('tests/fixtures/decoders', name), attention);
    for (const { sharded, difference } of await shardedCases(model, decoderFeeds(model), on(...shards))) expect([sharded.shards, difference < 1e-5, difference]).toEqual([sharded.shards, true, difference]);
  });
});
