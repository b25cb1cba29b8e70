import { GraphBuilder, Model, tensorType } from '@penjing/core';
import { afterEach, describe, expect, test } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { benchAgainst } from './bench-against.js';
import { benchModel } from './bench-model.js';
import { latencyOf } from './percentiles.js';

afterEach(() => expect(liveSessionHosts()).toBe(0));

test('percentiles interpolate', () => {
  expect(latencyOf([4, 1, 3, 2, 5])).toEqual({ count: 5, mean: 3, min: 1, p50: 3, p90: 4.6, p99: 4.96 });
  expect(latencyOf([7])).toMatchObject({ p50: 7, p99: 7 });
});

function relu(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Relu', [b.input('x', tensorType('float32', ['n', 4]))]), 'y', tensorType('float32', ['n', 4]));
  return model;
}

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
    const model = relu();
    const report = await benchModel(model, { threads: 1, runs: 5 });
    expect(report).toMatchObject({ kind: 'generic', latency: { count: 5 } });
    expect(report.decode).toBeUndefined();
    expect(report.latency.p50).toBeLessThanOrEqual(report.latency.p99);
    await expect(benchModel(model, { runs: 0 })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('prompts of several lengths, several texts at once', async () => {
    const report = await benchModel(tinyDecoder(), { threads: 1, promptTokens: 8, newTokens: 8, runs: 1, warmup: 0, contexts: [4, 16], batches: [1, 3] });
    expect(report.contexts!.map(({ prefill }) => prefill.promptTokens)).toEqual([4, 16]);
    expect(report.batches).toMatchObject([{ size: 1 }, { size: 3, latency: { count: 1 } }]);
    for (const { tokensPerSecond, decodeTokensPerSecond } of report.batches!) {
      expect(tokensPerSecond).toBeGreaterThan(0);
      // prompts take time too
      expect(decodeTokensPerSecond).toBeGreaterThan(tokensPerSecond);
    }
    expect(report.machine.loadAverage).toBeGreaterThanOrEqual(0);
    await expect(benchModel(tinyDecoder(), { threads: 1, runs: 1, warmup: 0, batches: [0] })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(benchModel(relu(), { threads: 1, contexts: [4] })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('two models in turn', async () => {
    const [small, large] = [tinyDecoder(), tinyDecoder({ layers: 12, headDim: 16 })];
    const result = await benchAgainst(small, large, { threads: 1, promptTokens: 8, newTokens: 8, runs: 3, warmup: 1 });
    expect(result).toMatchObject({ kind: 'language', rounds: 3, a: { latency: { count: 3 }, decode: { latency: { count: 24 } } }, b: { latency: { count: 3 } } });
    expect(result.b.bytes).toBeGreaterThan(result.a.bytes);
    const { min, median, max } = result.ratio;
    expect(min <= median && median <= max).toBe(true);
    // six times the layers of twice the width
    expect(result.decodeRatio!.median).toBeGreaterThan(1);
    expect(await benchAgainst(relu(), relu(), { threads: 1, runs: 4, warmup: 0 })).toMatchObject({ kind: 'generic', rounds: 4, a: { latency: { count: 4 } } });
    await expect(benchAgainst(relu(), small, { threads: 1 })).rejects.toMatchObject({ code: 'E_INPUT' });
  });
});
