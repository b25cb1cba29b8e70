/** What was compressed learns from what it was made of, by the command line: zeros stay, integers stay integers of the same form, and the loss falls. */
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { printed as json, trainingFolder, weightsOf } from './support/training-verbs.js';

let folder: Awaited<ReturnType<typeof trainingFolder>>;
const at = (name: string): string => folder.at(name);

async function done(verb: string, ...argv: string[]): Promise<ReturnType<typeof json>> {
  const { code, stdout } = await run(verb, ...argv, '--json', '--no-check');
  expect([code, stdout]).toEqual([0, stdout]);
  return json(stdout);
}

beforeAll(async () => {
  folder = await trainingFolder();
  await done('finetune', at('large.onnx'), '-o', at('teacher.onnx'), '--data', at('data.jsonl'), '--epochs', '10', '--rate', '0.02', '--seed', '1');
  await done('prune', at('teacher.onnx'), '-o', at('sparse.onnx'), '--sparsity', '0.5');
  await done('quantize', at('teacher.onnx'), '-o', at('int2.onnx'), '--bits', '2', '--block-size', '16', '--asymmetric', '--accuracy-level', '1');
}, 120_000);
afterAll(() => folder[Symbol.asyncDispose]());

/** Types and shapes of everything that is stored. */
async function formOf(name: string): Promise<Record<string, string>> {
  const { graph } = await readOnnx(await fileSource(at(name)));
  return Object.fromEntries([...graph.initializers].map(([key, { tensor }]) => [key, `${tensor!.dtype} ${tensor!.shape.join('×')}`]));
}

const teach = async (student: string, output: string, ...more: string[]): Promise<readonly number[]> => {
  const { training } = await done('distill', at('teacher.onnx'), '--student', at(student), '-o', at(output), '--data', at('data.jsonl'), '--preset', 'minitron', '--epochs', '10', '--rate', '0.01', '--seed', '1', ...more);
  return training[0]!.validations.map(({ loss }) => loss);
};

test('a sparse student', async () => {
  const losses = await teach('sparse.onnx', 'taught.onnx');
  expect(Math.min(...losses)).toBeLessThan(losses[0]!);
  const [before, after] = [await weightsOf(at('sparse.onnx')), await weightsOf(at('taught.onnx'))];
  for (const name of ['first', 'second']) {
    expect(before[name]!.filter((w) => w === 0).length).toBe(before[name]!.length / 2);
    expect(after[name]!.map((w) => w === 0)).toEqual(before[name]!.map((w) => w === 0));
    expect(after[name]).not.toEqual(before[name]);
  }
}, 120_000);

test('a student of 2 bits', async () => {
  const losses = await teach('int2.onnx', 'taught-int2.onnx');
  expect(Math.min(...losses)).toBeLessThan(losses[0]!);
  expect(await formOf('taught-int2.onnx')).toEqual(await formOf('int2.onnx'));
  const [before, after] = [await weightsOf(at('int2.onnx')), await weightsOf(at('taught-int2.onnx'))];
  const changed = Object.keys(before).filter((name) => before[name]!.join() !== after[name]!.join());
  const form = await formOf('int2.onnx');
  expect(changed.some((name) => form[name]!.startsWith('uint8'))).toBe(true);
  expect(changed.some((name) => form[name]!.startsWith('float32'))).toBe(true);
}, 120_000);
