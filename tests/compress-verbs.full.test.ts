/** `prune`, `cluster` and `lowrank` one after the other, and `simplify` after them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { bytes, largestDifference, made, outputs, type VerbFolder, verbFolder } from './support/compress-verbs.js';

let folder: VerbFolder;
const at = (...parts: string[]): string => folder.at(...parts);

beforeAll(async () => void (folder = await verbFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

test('pruning twice, clustering what is pruned, factors of what is clustered: each says what it did or that there is nothing', async () => {
  await made('prune', at('in.onnx'), '-o', at('once.onnx'), '--sparsity', '0.5');
  const { records } = await made('prune', at('once.onnx'), '-o', at('twice.onnx'), '--sparsity', '0.5');
  for (const { sparsity } of records) expect(sparsity).toBeCloseTo(0.5, 2);
  expect(largestDifference(await outputs(at('once.onnx')), await outputs(at('twice.onnx')))).toBe(0);
  await made('cluster', at('once.onnx'), '-o', at('both.onnx'), '--bits', '4');
  expect(await bytes(at('both.onnx'))).toBeLessThan((await bytes(at('once.onnx'))) / 4);
  for (const verb of [['lowrank', '--rank', '4'], ['cluster'], ['prune', '--sparsity', '0.5']]) {
    const { stdout } = await run(verb[0]!, at('both.onnx'), '-o', at('refused.onnx'), ...verb.slice(1), '--json', '--quiet');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'E_NOTHING_TO_DO' } });
  }
});

describe('simplify leaves it compressed', () => {
  test.each([
    ['cluster', ['--bits', '3']], ['cluster', ['--bits', '2', '--outputs', '1']], ['lowrank', ['--rank', '8']],
  ])('after %s %j', async (verb, options) => {
    const name = `${verb}${options.join('')}`.replace(/\W+/g, '');
    const { records } = await made(verb, at('in.onnx'), '-o', at(`${name}.onnx`), ...options);
    expect(records.every((record) => (verb === 'cluster' ? record.paletteBits === Number(options[1]) : record.rank! > 0))).toBe(true);
    await made('simplify', at(`${name}.onnx`), '-o', at(`${name}-simple.onnx`));
    const [before, after, whole] = [await bytes(at(`${name}.onnx`)), await bytes(at(`${name}-simple.onnx`)), await bytes(at('in.onnx'))];
    expect(after).toBeLessThanOrEqual(before);
    expect(before).toBeLessThan(0.7 * whole);
    expect(largestDifference(await outputs(at(`${name}.onnx`)), await outputs(at(`${name}-simple.onnx`)))).toBeLessThan(1e-5);
  });
});
