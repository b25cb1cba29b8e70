import { describe, expect, test } from 'vitest';
import { apiErrorFrom } from './api/api-error.js';
import { similarities, floatsOf } from './api/embeddings.js';
import type { GraphOperator } from './api/graph.js';
import { buildTree, partKeys, rowsOf } from './graph-tree.js';
import { hrefOf, parseRoute } from './router.js';
import { parseStops } from './state/parameters.js';

describe('addresses', () => {
  test('lead where they say, and everything else to the beginning', () => {
    expect(parseRoute('#/models/a%2Fb/variants')).toEqual({ page: 'model', model: 'a/b', tab: 'variants' });
    for (const hash of ['#/chat', '#/embed', '#/models', '#/models/x/graph', '#/monitor']) expect(hrefOf(parseRoute(hash))).toBe(hash);
    for (const hash of ['', '#', '#/nowhere', '#/%E0%A4%A', '#chat/../x']) expect(parseRoute(hash).page).toBe('play');
  });
});

describe('errors of the server', () => {
  test('are the same in all of its dialects', () => {
    const openai = apiErrorFrom(400, '{"error":{"message":"too long","code":"context_length_exceeded","hint":"Shorten it."}}', new Headers());
    expect([openai.message, openai.code, openai.hint]).toEqual(['too long', 'context_length_exceeded', 'Shorten it.']);
    expect(apiErrorFrom(404, '{"error":"no such model"}', new Headers()).message).toBe('no such model');
    expect(apiErrorFrom(502, '<html>bad gateway</html>', new Headers()).message).toContain('bad gateway');
    expect(apiErrorFrom(500, '', new Headers()).message).toBe('HTTP 500');
    expect(apiErrorFrom(429, '{}', new Headers({ 'retry-after': '3' })).retryAfter).toBe(3);
  });
});

test('stop texts are lines with written-out breaks', () => {
  expect(parseStops('END\n\n\\n\\n\na\\\\n\n4\n5')).toEqual(['END', '\n\n', 'a\\n', '4']);
});

test('embeddings come as base64 and are compared by their direction', () => {
  const vector = floatsOf(Buffer.from(new Float32Array([3, 4]).buffer).toString('base64'));
  expect([...vector]).toEqual([3, 4]);
  const [row] = similarities([vector, new Float32Array([6, 8]), new Float32Array([-4, 3]), new Float32Array(2)]);
  expect(row!.map((value) => Math.round(value * 1e6) / 1e6)).toEqual([1, 1, 0, 0]);
});

describe('a graph as a tree', () => {
  const operator = (path: string, name: string, weights: GraphOperator['weights'] = []): GraphOperator => ({ name, operator: name, path: path.split('/'), weights });
  const weight = (bytes: number, snrDb?: number | null): GraphOperator['weights'][number] => ({ name: 'w', dtype: 'int4', shape: [2], bytes, ...(snrDb !== undefined && { snrDb }) });
  const tree = buildTree([
    operator('model/layers.0/attn', 'MatMul', [weight(8, 20)]),
    operator('model/layers.0/mlp', 'Gemm', [weight(4, null)]),
    operator('model/layers.1/attn', 'MatMul', [weight(8, 12)]),
    operator('model', 'Add'),
  ]);

  test('sums up its parts and remembers what lost most', () => {
    expect(tree).toMatchObject({ name: 'model', bytes: 20, count: 4, worst: 12 });
    expect(tree.parts.map(({ name, bytes, worst }) => [name, bytes, worst])).toEqual([['layers.0', 12, 20], ['layers.1', 8, 12]]);
    expect(partKeys(tree)).toContain('model/layers.0/mlp');
  });

  test('shows what is open, or what a search finds', () => {
    expect(rowsOf(tree, new Set(), '').map(({ key }) => key)).toEqual(['model/layers.0', 'model/layers.1', 'model/#0']);
    expect(rowsOf(tree, new Set(['model/layers.0', 'model/layers.0/mlp']), '').filter(({ kind }) => kind === 'operator').map(({ key }) => key)).toEqual(['model/layers.0/mlp/#0', 'model/#0']);
    expect(rowsOf(tree, new Set(), 'gemm layers.0').map(({ key }) => key)).toEqual(['model/layers.0', 'model/layers.0/mlp', 'model/layers.0/mlp/#0']);
    expect(rowsOf(tree, new Set(), 'nothing')).toEqual([]);
  });
});
