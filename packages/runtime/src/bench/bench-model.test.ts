import { GraphBuilder, Model, tensorType } from '@penjing/core';
import { afterEach, describe, expect, test } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { benchModel } from './bench-model.js';
import { latencyOf } from './percentiles.js';

afterEach(() => expect(liveSessionHosts()).toBe(0));

test('percentiles interpolate', () => {
  expect(latencyOf([4, 1, 3, 2, 5])).toEqual({ count: 5, mean: 3, min: 1, p50: 3, p90: 4.6, p99: 4.96 });
  expect(latencyOf([7])).toMatchObject({ p50: 7, p99: 7 });
});

describe('bench', () => {
  test('a language model: prefill and decode rates', async () => {
    const report = await benchModel(tinyDecoder(), { threads: 1, promptTokens: 16, newTokens: 8, runs: 2, warmup: 1 });
    expect(report).toMatchObject({ kind: 'language', threads: 1, latency: { count: 2 }, prefill: { promptTokens: 16 }, decode: { newTokens: 8, latency: { count: 16 } } });
    expect(report.decode!.tokensPerSecond).toBeGreaterThan(0);
    expect(report.prefill!.tokensPerSecond).toBeGreaterThan(0);
    expect(report.peakRssBytes).toBeGreaterThan(2 ** 20);
    expect(report.machine).toMatchObject({ node: process.version, cores: expect.any(Number) as number });
  });

  test('any other model: latency', async () => {
    const model = new Model();
    model.opsetImports.set('', 17);
    const b = new GraphBuilder(model.graph);
    b.output(b.op('Relu', [b.input('x', tensorType('float32', ['n', 4]))]), 'y', tensorType('float32', ['n', 4]));
    const report = await benchModel(model, { threads: 1, runs: 5 });
    expect(report).toMatchObject({ kind: 'generic', latency: { count: 5 } });
    expect(report.decode).toBeUndefined();
    expect(report.latency.p50).toBeLessThanOrEqual(report.latency.p99);
    await expect(benchModel(model, { runs: 0 })).rejects.toMatchObject({ code: 'E_OPTION' });
  });
});
