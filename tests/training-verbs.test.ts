/** `finetune` and `distill` on the command line: a short training, and what they refuse. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { printed as json, trainingFolder, weightsOf } from './support/training-verbs.js';

let folder: Awaited<ReturnType<typeof trainingFolder>>;
const at = (name: string): string => folder.at(name);

beforeAll(async () => void (folder = await trainingFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

test('a classifier learns, only the weights that are named, and the page shows how', async () => {
  const { code, stdout } = await run('finetune', at('small.onnx'), '-o', at('tuned.onnx'), '--data', at('data.jsonl'), '--epochs', '20', '--rate', '0.02', '--seed', '1', '--trainable', '/^sec/', '--report', at('page.html'), '--json');
  expect(code).toBe(0);
  const { validations } = json(stdout).training[0]!;
  expect(Math.min(...validations.map(({ loss }) => loss))).toBeLessThan(0.9 * validations[0]!.loss);
  expect(readFileSync(at('page.html'), 'utf8')).toMatch(/<polyline class="curve/);
  const [before, after] = [await weightsOf(at('small.onnx')), await weightsOf(at('tuned.onnx'))];
  expect(after['first']).toEqual(before['first']);
  expect(after['second']).not.toEqual(before['second']);
}, 120_000);

test('engines, passes that are computed twice and memories of the optimizer are options', async () => {
  const { code, stdout } = await run('finetune', at('small.onnx'), '-o', at('shared.onnx'), '--data', at('data.jsonl'), '--steps', '20', '--batch', '8', '--rate', '0.02', '--engines', '2', '--threads', '2', '--recompute', '--betas', '0.8,0.9', '--json');
  expect(code).toBe(0);
  expect(json(stdout).training[0]!.losses).toHaveLength(20);
}, 120_000);

describe('refused', () => {
  test.each<[argv: string[], code: string, message: RegExp]>([
    [['--data', 'wrong.jsonl', '--steps', '2'], 'E_DATA', /sample 77 of .*wrong\.jsonl has the label 3.*classes from 0 to 2/],
    [['--data', 'data.jsonl', '--validation', 'wrong.jsonl', '--steps', '2'], 'E_DATA', /sample 77 of .*wrong\.jsonl has the label 3/],
    [['--data', 'infinite.jsonl', '--steps', '2'], 'E_DATA', /sample 5 of .* x .*not finite/],
    [['--data', 'bare.jsonl', '--steps', '2'], 'E_DATA', /no labels/],
    [['--data', 'empty.jsonl', '--steps', '2'], 'E_DATA', /empty/],
    [['--data', 'data.jsonl', '--steps', '2', '--trainable', 'third'], 'E_NOTHING_TO_DO', /no weight/],
    [['--data', 'data.jsonl', '--steps', '2', '--exclude', '/./'], 'E_NOTHING_TO_DO', /no weight/],
    [['--data', 'data.jsonl'], 'E_OPTION', /how long/],
    [['--data', 'data.jsonl', '--steps', '2', '--leave-out', '1'], 'E_OPTION', /leaves every sample out/],
    [['--data', 'data.jsonl', '--steps', '2', '--leave-out', '5', '--validation', 'data.jsonl'], 'E_OPTION', /leaveOut means nothing beside validation/],
    [['--data', 'data.jsonl', '--steps', '2', '--leave-out', '0', '--patience', '3'], 'E_OPTION', /patience means nothing where nothing is measured/],
    [['--data', 'data.jsonl', '--steps', '2', '--scratch', '--zeros', 'hold'], 'E_OPTION', /zeros means nothing for random weights/],
    [['--data', 'data.jsonl', '--steps', '2', '--length', '64'], 'E_OPTION', /length in tokens/],
    [['--data', 'data.jsonl', '--steps', '2', '--mean', '0.5'], 'E_OPTION', /mean is for pictures/],
    [['--data', 'data.jsonl', '--steps', '2', '--rate', '0'], 'E_USAGE', /above 0 is needed/],
    [['--data', 'data.jsonl', '--steps', '2', '--rate', 'Infinity'], 'E_USAGE', /above 0 is needed/],
    [['--data', 'data.jsonl', '--steps', '2', '--report', '.'], 'E_OUTPUT', /is a folder/],
    [['--data', 'data.jsonl', '--steps', '2', '--report', '/dev/null/page.html'], 'E_OUTPUT', /cannot be written/],
    [['--data', 'data.jsonl', '--steps', '0'], 'E_USAGE', /at least 1/],
    [['--data', 'nothing.jsonl', '--steps', '2'], 'E_NOT_FOUND', /nothing/],
    [['--data', 'data.jsonl', '--steps', '2', '--optimizer', 'sgd', '--betas', '0.9,0.99'], 'E_OPTION', /betas/],
    [['--data', 'data.jsonl', '--steps', '2', '--momentum', '0.9'], 'E_OPTION', /momentum/],
    [['--data', 'data.jsonl', '--steps', '2', '--betas', '0.9'], 'E_RECIPE', /betas/],
    [['--data', 'data.jsonl', '--steps', '2', '--batch', '9', '--engines', '2'], 'E_OPTION', /evenly by 2 engines/],
  ])('%j', async (argv, code, message) => {
    const given = argv.map((word) => (word.endsWith('.jsonl') ? at(word) : word));
    const { stdout } = await run('finetune', at('small.onnx'), '-o', at('never.onnx'), ...given, '--json');
    expect(json(stdout).error).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(existsSync(at('never.onnx'))).toBe(false);
    expect(existsSync(at('never.onnx.penjing'))).toBe(false);
  });

  test('a time that is over before the first step, and goes on with more', async () => {
    const tune = async (...more: string[]): Promise<ReturnType<typeof json>> => json((await run('finetune', at('small.onnx'), '-o', at('hasty.onnx'), '--data', at('data.jsonl'), '--seed', '1', '--json', ...more)).stdout);
    expect((await tune('--minutes', '1e-6')).error).toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/over before its first step/) as string, hint: expect.stringMatching(/checkpoint of step 0/) as string });
    expect(existsSync(at('hasty.onnx'))).toBe(false);
    expect((await tune('--steps', '2', '--resume')).training[0]!.losses).toHaveLength(2);
  });

  test('losses on layers that there are none of, and no layers to choose', async () => {
    const distil = async (...more: string[]): Promise<string> => json((await run('distill', at('large.onnx'), '-o', at('never.onnx'), '--data', at('data.jsonl'), '--steps', '2', '--json', ...more)).stdout).error.code;
    expect(await distil('--student', at('small.onnx'), '--preset', 'distilbert')).toBe('E_OPTION');
    expect(await distil('--student', at('small.onnx'), '--soft', '0', '--hard', '0')).toBe('E_OPTION');
    expect(await distil('--student', 'layers:')).toBe('E_OPTION');
    expect(await distil('--student', at('small.onnx'), '--soft', '0', '--temperature', '3')).toBe('E_OPTION');
    expect(await distil('--student', at('small.onnx'), '--soft', '0', '--cache-teacher')).toBe('E_OPTION');
    expect(await distil('--student', 'layers:half')).toBe('E_NOTHING_TO_DO');
  });
});
