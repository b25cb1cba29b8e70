import { rm } from 'node:fs/promises';
import { blocks, createRng, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { compareModels } from './compare-models.js';
import { evaluateModel } from './evaluate-model.js';
import { isRowwise } from './rowwise.js';
import { tokenWindows } from './text-windows.js';

let folder: string;
beforeAll(async () => (folder = await writeModelFolder({ '': tinyDecoder({ layers: 3 }), _half: tinyDecoder({ layers: 3, half: true }), _nocache: tinyDecoder({ layers: 3, cache: false }) })));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => expect(liveSessionHosts()).toBe(0));

const rng = createRng(7);
const text = Array.from({ length: 200 }, () => String.fromCharCode(97 + rng.below(26))).join('');
const relative = (a: number, b: number): number => Math.abs(a / b - 1);

describe('layer by layer', () => {
  test('a model has the perplexity it has as a whole', async () => {
    for (const variant of ['half', 'nocache']) {
      const reference = { path: folder, variant };
      const seen: string[] = [];
      const parts = await evaluateModel(reference, { text, threads: 1, byLayer: true, onProgress: ({ phase, unit, item }) => seen.push(`${phase} ${unit} ${item ?? ''}`) });
      const whole = await evaluateModel(reference, { text, threads: 1 });
      expect(parts.blocks).toBeGreaterThan(3);
      expect(whole.blocks).toBeUndefined();
      expect(parts).toMatchObject({ count: whole.count, data: whole.data });
      expect(relative(parts.perplexity!, whole.perplexity!)).toBeLessThan(1e-5);
      expect(seen).toContain('evaluate blocks layer by layer');
      expect(seen).toContain('score tokens ');
    }
  });

  test('two models are compared as they are as a whole, from files and from memory', async () => {
    const tokens = Array.from({ length: 90 }, () => rng.below(32));
    const options = { tokens, windowTokens: 40, stride: 17, threads: 1 };
    const [a, b] = [folder, tinyDecoder({ layers: 3, noise: 0.02 })];
    const parts = await compareModels(a, b, { ...options, byLayer: true });
    const whole = await compareModels(a, b, options);
    expect(relative(parts.klDivergence!, whole.klDivergence!)).toBeLessThan(1e-5);
    expect(relative(parts.b.perplexity!, whole.b.perplexity!)).toBeLessThan(1e-5);
    expect(parts).toMatchObject({ topTokenAgreement: whole.topTokenAgreement, klHistogram: whole.klHistogram, count: 89, data: 'given tokens in windows of 40 tokens, one every 17' });
    expect(Math.min(...parts.blocks!)).toBeGreaterThan(2);
    expect(parts.snrDb).toBeCloseTo(whole.snrDb, 3);
  });

  test('what cannot be run so is said, and cancelling leaves nothing', async () => {
    await expect(evaluateModel(folder, { labelled: [], byLayer: true })).rejects.toMatchObject({ code: 'E_OPTION' });
    const table = new Model();
    table.opsetImports.set('', 17);
    const b = new GraphBuilder(table.graph);
    const weights = b.initializer('table', denseOf('float32', [4, 4], Array.from({ length: 16 }, (_, i) => i)));
    b.output(b.op('Gather', [weights, b.input('input_ids', tensorType('int64', ['batch', 'sequence']))]), 'logits', tensorType('float32', ['batch', 'sequence', 4]));
    await expect(evaluateModel(table, { tokens: [1, 2, 3], byLayer: true, threads: 1 })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
    await expect(evaluateModel(folder, { text, stride: 65, byLayer: true })).rejects.toMatchObject({ code: 'E_OPTION' });
    const stop = new AbortController();
    const run = evaluateModel(folder, { text, threads: 1, byLayer: true, signal: stop.signal, onProgress: ({ done }) => done === 1 && stop.abort(new Error('enough')) });
    await expect(run).rejects.toThrow('enough');
  });

  test('positions are told apart from what mixes them', () => {
    expect(isRowwise(tinyDecoder())).toBe(false);
    expect(blocks(tinyDecoder()).length).toBeGreaterThan(1);
    const head = (op: string, attributes = {}): Model => {
      const model = new Model();
      model.opsetImports.set('', 17);
      const b = new GraphBuilder(model.graph);
      const x = b.input('x', tensorType('float32', ['batch', 'sequence', 4]));
      b.output(b.op(op, op === 'Tanh' || op === 'Softmax' ? [x] : [x, b.constant('float32', [1, 2, 3, 4])], attributes), 'y');
      return model;
    };
    expect([head('Tanh'), head('Mul'), head('Softmax', { axis: 1 }), head('LayerNormalization'), head('LayerNormalization', { axis: 1 })].map(isRowwise)).toEqual([true, true, false, true, false]);
  });
});

describe('windows', () => {
  test('without a stride they follow each other, and the first token of each is not predicted', () => {
    expect(tokenWindows([1, 2, 3, 4, 5, 6, 7], { length: 3 })).toEqual([{ tokens: Int32Array.of(1, 2, 3), from: 1 }, { tokens: Int32Array.of(4, 5, 6), from: 1 }]);
  });

  test('with one each token but the first of the text is predicted once, with the most before it', () => {
    for (const [count, length, stride] of [[20, 8, 3], [21, 8, 4], [9, 8, 4], [5, 8, 1], [30, 7, 6]] as const) {
      const all = Array.from({ length: count }, (_, i) => 100 + i);
      const predicted: number[] = [];
      for (const { tokens, from } of tokenWindows(all, { length, stride })) {
        predicted.push(...tokens.slice(from));
        if (tokens[0] !== 100) expect(from).toBeGreaterThanOrEqual(length - stride);
      }
      expect(predicted).toEqual(all.slice(1));
    }
  });
});
