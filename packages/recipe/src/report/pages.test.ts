/** The pages: well-formed, self-contained, with hostile names as harmless text and without broken numbers. */
import fc from 'fast-check';
import type { WeightRecord } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import type { InputComparison } from '../input-comparison.js';
import { comparisonPage } from './comparison-page.js';
import { evaluationPage } from './evaluation-page.js';
import { barPlot, format, pointPlot } from './plots.js';
import { recordsPage } from './records-page.js';
import { trainingPage } from './training-page.js';

const HOSTILE = `<script src="https://evil.example/x.js">alert('1')</script> & "quoted"`;
const VOID = new Set(['meta']);

/** Throws at the first tag that does not match, and at text that is no page. */
function assertWellFormed(html: string): void {
  const open: string[] = [];
  const body = html.replace(/^<!doctype html>\n/, '').replace(/<style>[^<]*<\/style>/, '');
  const tag = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][\w-]*="[^"<>]*")*)\s*(\/?)>/g;
  expect(body.replace(tag, '')).not.toMatch(/[<>]/);
  for (const [, close, name, , self] of body.matchAll(tag)) {
    if (close) expect(open.pop()).toBe(name);
    else if (!self && !VOID.has(name!)) open.push(name!);
  }
  expect(open).toEqual([]);
}

function assertSelfContained(html: string): void {
  expect(html).not.toMatch(/<(script|link|img|iframe|object|embed)/i);
  expect(html).not.toMatch(/\s(href|src|xlink:href|on[a-z]+)="/i);
  expect(html).not.toMatch(/url\(|@import/i);
}

const record = (name: string, snrDb: number | undefined): WeightRecord => ({
  name, method: 'rtn int4', elements: 1024, bytesBefore: 4096, bytesAfter: 640, ...(snrDb !== undefined && { snrDb, maxError: 0.1 }),
});

function comparison(name: string, snrDb: number, language: boolean): InputComparison {
  return {
    kind: language ? 'language' : 'generic',
    a: { name, bytes: 1e6, ...(language && { perplexity: 10 }) },
    b: { name, bytes: 2e5, ...(language && { perplexity: 11 }) },
    sizeRatio: 0.2, snrDb, maxError: 1, count: 64, data: name, seconds: 1,
    outputs: [{ name, snrDb, maxError: 1, elements: 8 }],
    ...(language && { klDivergence: 0.1, topTokenAgreement: 0.9, klHistogram: { lowest: -8, perDecade: 2, counts: [0, 3, 1, 0] } }),
    layers: [{ name, snrDb, maxError: 1 }, { name: `${name}2`, snrDb: 20, maxError: 1 }],
    weights: [record(name, snrDb), record('unmeasured', undefined)],
  };
}

const machine = { cpu: HOSTILE, cores: 2, memoryBytes: 1, platform: 'any', node: 'v20', loadAverage: 1, freeMemoryBytes: 1 };

describe('pages', () => {
  test.each([25, 0, -3, Infinity, -Infinity, Number.NaN])('an SNR of %s dB breaks nothing', (snrDb) => {
    for (const language of [true, false]) {
      const html = comparisonPage(comparison('layer', snrDb, language), machine, new Date(0));
      assertWellFormed(html);
      for (const [, value] of html.matchAll(/ (?:x|y|cx|cy|x1|x2|y1|y2|width|height)="([^"]*)"/g)) expect(value).toMatch(/^-?\d+(\.\d+)?$/);
      for (const [, width] of html.matchAll(/<rect[^>]* width="([^"]*)"/g)) expect(Number(width)).toBeGreaterThan(0);
    }
  });

  test('losses, classes and embeddings have plots, whatever they are', () => {
    const sums = fc.array(fc.record({ tokens: fc.nat(9), nllA: fc.double(), nllB: fc.double() }), { maxLength: 70 });
    const label = fc.integer({ min: -1, max: 30 });
    const cells = fc.array(fc.tuple(label, label), { maxLength: 60 });
    fc.assert(fc.property(fc.record({ windows: sums, contexts: sums }), cells, fc.boolean(), (losses, pairs, named) => {
      const labels = [...new Set(pairs.flat())].filter((each) => each >= 0);
      const classes = {
        f1: 0.5, confusion: pairs.map(([wanted, found]) => ({ label: wanted, found, rows: 1 })),
        classes: labels.map((each) => ({ label: each, ...(named && { name: HOSTILE }), precision: 0.5, recall: 0, f1: 0.25, support: each })),
      };
      const model = { name: HOSTILE, bytes: 1 };
      const alone = evaluationPage({ model, perplexity: 3, accuracy: 0.5, f1: classes.f1, classes, losses, blocks: 3, count: 1, data: HOSTILE, seconds: 1 }, machine, new Date(0));
      const embedding = { output: HOSTILE, rows: 3, lowestCosine: 0.5, distances: { lowest: -8, perDecade: 4, counts: [1, 2] } };
      const both = comparison('layer', 20, true);
      const pair = comparisonPage({ ...both, losses, embedding, embeddingCosine: 0.5, a: { ...both.a, accuracy: 1, f1: 1, classes }, b: { ...both.b, accuracy: 1, f1: 1, classes } }, machine, new Date(0));
      for (const html of [alone, pair]) {
        assertWellFormed(html);
        assertSelfContained(html);
        for (const [, value] of html.matchAll(/ (?:x|y|cx|cy|x1|x2|y1|y2|width|height|fill-opacity)="([^"]*)"/g)) expect(value).toMatch(/^-?\d+(\.\d+)?$/);
      }
    }), { numRuns: 25 });
  });

  test('hostile names are text', () => {
    const pages = [
      comparisonPage(comparison(HOSTILE, 20, true), machine, new Date(0)),
      recordsPage({ input: HOSTILE, output: HOSTILE, steps: [{ quantize: { exclude: [HOSTILE] } }] }, [record(HOSTILE, 20)], 10, new Date(0)),
    ];
    for (const html of pages) {
      assertWellFormed(html);
      assertSelfContained(html);
    }
  });

  test('a training of any losses has a curve', () => {
    const point = fc.record({ step: fc.nat(5000), loss: fc.double(), metrics: fc.constant({ accuracy: 0.5 }) });
    fc.assert(fc.property(fc.constantFrom('finetune', 'distill'), fc.array(fc.double(), { maxLength: 900 }), fc.array(point, { maxLength: 5 }), (step, losses, validations) => {
      const training = { step, losses, rates: losses.map(() => 1e-3), validations, best: validations[0], reason: HOSTILE, seconds: 1, unit: 'tokens', seen: 5, perEpoch: 2 };
      const html = trainingPage({ input: HOSTILE, output: 'b', steps: [] }, [training], [record(HOSTILE, 20)], new Date(0));
      assertWellFormed(html);
      assertSelfContained(html);
      for (const [, value] of html.matchAll(/ (?:x|y|cx|cy|x1|x2|y1|y2|width|height)="([^"]*)"/g)) expect(value).toMatch(/^-?\d+(\.\d+)?$/);
      for (const [, points] of html.matchAll(/ points="([^"]*)"/g)) expect(points).toMatch(/^(-?\d+(\.\d+)?,-?\d+(\.\d+)? ?)+$/);
    }), { numRuns: 50 });
  });

  test('what is measured stands where it was measured, and beside the loss only where it is the same one', () => {
    const page = (step: string): string => trainingPage({ input: 'a', output: 'b', steps: [{ finetune: { data: 'c.txt', steps: 3, trainable: ['d', 'e'] } }] }, [{
      step, losses: [1.3, 0.7, 0.3], rates: [1, 1, 1], validations: [{ step: 0, loss: 4.6, metrics: {} }, { step: 3, loss: 3.9, metrics: {} }], best: { step: 3, loss: 3.9 }, reason: 'steps', seconds: 1, unit: 'tokens', seen: 5, perEpoch: 2,
    }], [record('w', 20)], new Date(0));
    const heights = (html: string): number[] => [...html.matchAll(/cy="([^"]*)" r="3"/g)].slice(0, 2).map(([, y]) => Number(y));
    for (const step of ['finetune', 'distill']) {
      const [first, last] = heights(page(step)) as [number, number];
      expect(last - first).toBeGreaterThan(20);
    }
    expect(page('finetune')).toContain('a → b: finetune (data: c.txt, steps: 3, trainable: d + e)');
    expect(page('finetune')).toContain('99.48 → 49.4');
    expect(page('distill').match(/<figcaption>/g)!.length).toBe(page('finetune').match(/<figcaption>/g)!.length + 1);
  });

  test('any name, any records', () => {
    fc.assert(fc.property(fc.array(fc.record({ name: fc.string({ unit: 'binary' }), snrDb: fc.option(fc.double(), { nil: undefined }) }), { maxLength: 20 }), (list) => {
      const html = recordsPage({ input: 'a', output: 'b', steps: [] }, list.map(({ name, snrDb }) => record(name, snrDb)), 1, new Date(0));
      assertWellFormed(html);
      assertSelfContained(html);
    }), { numRuns: 50 });
  });

  test('zeros, ranks and palettes have columns where there are any', () => {
    const page = (...records: WeightRecord[]): string => recordsPage({ input: 'a', output: 'b', steps: [] }, records, 1, new Date(0));
    const header = (html: string): string[] => [...html.matchAll(/<th scope="col"(?: class="number")?>([^<]*)</g)].map(([, name]) => name!);
    expect(header(page(record('w', 20)))).toEqual(['weight', 'method', 'elements', 'before', 'after', 'objective', 'snrDb', 'maxError', 'note']);
    const html = page({ ...record('sparse', 20), sparsity: 0.5 }, { ...record('thin', 20), rank: 32 }, { ...record('palette', 20), paletteBits: 4 });
    expect(header(html).slice(4, 9)).toEqual(['after', 'sparsity', 'rank', 'palette', 'objective']);
    expect(html).toMatch(/>50.0 %<.*>—<.*>—<[^]*>—<.*>32<.*>—<[^]*>4 bits</);
    assertWellFormed(html);
  });

  test('a run that changed nothing has a page too', () => {
    const html = recordsPage({ input: 'a', output: 'b', steps: [] }, [{ ...record('left', undefined), method: 'none', note: 'excluded' }], 1, new Date(0));
    assertWellFormed(html);
    expect(html).toContain('excluded');
  });
});

describe('plots', () => {
  test('every bar and point is there, with its label', () => {
    const bars = barPlot({ title: 't', axis: 'a' }, [{ label: 'one', value: 1, text: '1' }, { label: 'two', value: 2, text: '2' }]);
    // one drawing for wide pages, one for narrow ones
    expect(bars.match(/<rect/g)).toHaveLength(4);
    const points = pointPlot({ title: 't', axis: 'a' }, Array.from({ length: 100 }, (_, i) => ({ label: `layer.${i}`, value: i })));
    expect(points.match(/<circle/g)).toHaveLength(200);
    expect(points).toContain('<title>layer.57: 57</title>');
  });

  test('numbers are short', () => {
    expect([0, 1, 0.00012345, 12.3456, 1234567, -Infinity, Infinity, Number.NaN].map(format)).toEqual(['0', '1', '1.23e-4', '12.35', '1.23e+6', '−∞', '∞', 'NaN']);
  });
});
