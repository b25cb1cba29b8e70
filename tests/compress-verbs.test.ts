/** `prune`, `cluster` and `lowrank` on the command line: what they write, and what they refuse. */
import { existsSync, readdirSync } from 'node:fs';
import { toDense } from '@penjing/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { made, open, type VerbFolder, verbFolder } from './support/compress-verbs.js';

let folder: VerbFolder;
const at = (...parts: string[]): string => folder.at(...parts);

beforeAll(async () => void (folder = await verbFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

describe('refused, and nothing is left on disk', () => {
  test.each<[argv: string[], code: string]>([
    [['prune', '--sparsity', '0'], 'E_USAGE'],
    [['prune', '--sparsity', '1'], 'E_USAGE'],
    [['prune', '--sparsity', '-0.5'], 'E_USAGE'],
    [['prune'], 'E_OPTION'],
    [['prune', '--sparsity', 'half'], 'E_USAGE'],
    [['prune', '--sparsity', '0.5', '--pattern', '2:4'], 'E_OPTION'],
    [['prune', '--pattern', '4:4'], 'E_OPTION'],
    [['prune', '--pattern', '5:4'], 'E_OPTION'],
    [['prune', '--pattern', '2/4'], 'E_OPTION'],
    [['prune', '--pattern', '2:4', '--scope', 'global'], 'E_OPTION'],
    [['prune', '--sparsity', '0.5', '--method', 'wanda'], 'E_DATA'],
    [['prune', '--sparsity', '0.5', '--data', 'data.jsonl'], 'E_OPTION'],
    [['prune', '--sparsity', '0.5', '--method', 'obs'], 'E_RECIPE'],
    [['prune', '--structure', 'ffn', '--ratio', '1'], 'E_USAGE'],
    [['prune', '--structure', 'heads', '--ratio', '0.5'], 'E_NOTHING_TO_DO'],
    [['prune', '--structure', 'channels', '--ratio', '0.5'], 'E_NOTHING_TO_DO'],
    [['prune', '--sparsity', '0.5', '--exclude', '/./'], 'E_NOTHING_TO_DO'],
    [['cluster', '--bits', '9'], 'E_USAGE'],
    [['cluster', '--bits', '0'], 'E_USAGE'],
    [['cluster', '--outputs', '7'], 'E_NOTHING_TO_DO'],
    [['cluster', '--method', 'sensitivity'], 'E_DATA'],
    [['cluster', '--data', 'data.jsonl'], 'E_OPTION'],
    [['lowrank', '--rank', '0'], 'E_USAGE'],
    [['lowrank'], 'E_OPTION'],
    [['lowrank', '--rank', '4', '--energy', '0.9'], 'E_OPTION'],
    [['lowrank', '--rank', '4', '--method', 'svd-llm'], 'E_DATA'],
    [['lowrank', '--rank', '4', '--data', 'data.jsonl'], 'E_OPTION'],
  ])('%j', async ([verb, ...options], code) => {
    const { stdout, code: exit } = await run(verb!, at('in.onnx'), '-o', at('refused.onnx'), ...options.map((word) => (word.endsWith('.jsonl') ? at(word) : word)), '--json', '--quiet');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code } });
    expect(exit).toBe(code === 'E_USAGE' ? 2 : 1);
    expect(readdirSync(at()).filter((name) => name.startsWith('refused'))).toEqual([]);
  });

  test.each(['prune --sparsity 0.5', 'cluster', 'lowrank --rank 2'])('%s of a model without weights', async (words) => {
    const [verb, ...options] = words.split(' ');
    const { stdout } = await run(verb!, at('weightless.onnx'), '-o', at('refused.onnx'), ...options, '--json', '--quiet');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'E_NOTHING_TO_DO' } });
    expect(existsSync(at('refused.onnx'))).toBe(false);
  });
});

describe('written', () => {
  test.each([
    ['magnitude', '--sparsity 0.5 --scope global'], ['sparsegpt', '--pattern 2:4'],
  ])('prune by %s %s: half of the weights are 0', async (method, words) => {
    const output = at(`pruned-${method}-${words.replace(/\W+/g, '')}.onnx`);
    const { records } = await made('prune', at('in.onnx'), '-o', output, '--method', method, ...words.split(' '), ...(method === 'magnitude' ? [] : ['--data', at('data.jsonl')]));
    expect(records.map(({ name }) => name).sort()).toEqual(['down', 'up']);
    let [zeros, all] = [0, 0];
    for (const { tensor } of (await open(output)).graph.initializers.values()) {
      if (tensor!.shape.length !== 2) continue;
      const { data } = await toDense(tensor!);
      all += data.length;
      zeros += (data as Float32Array).filter((value) => value === 0).length;
    }
    expect(zeros / all).toBeCloseTo(0.5, 2);
  });
});
