/** `finetune` and `distill` on a small classifier: a teacher and its student, the same bits with the same seed, a run that diverges. */
import { existsSync } from 'node:fs';
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { printed as json, trainingFolder, weightsOf } from './support/training-verbs.js';

let folder: Awaited<ReturnType<typeof trainingFolder>>;
const at = (name: string): string => folder.at(name);

beforeAll(async () => void (folder = await trainingFolder()));
afterAll(() => folder[Symbol.asyncDispose]());

test('a teacher is finetuned, a student learns from it', async () => {
  const teacher = await run('finetune', at('large.onnx'), '-o', at('teacher.onnx'), '--data', at('data.jsonl'), '--epochs', '30', '--rate', '0.02', '--seed', '1', '--json');
  expect(teacher.code).toBe(0);
  const [training] = json(teacher.stdout).training;
  const accuracies = training!.validations.map(({ metrics }) => metrics.accuracy);
  expect(Math.max(...accuracies)).toBeGreaterThan(accuracies[0]! + 0.2);
  // The graph is the one that went in: its softmax too.
  expect((await readOnnx(await fileSource(at('teacher.onnx')))).graph.outputs[0]!.name).toBe('probabilities');

  const student = await run('distill', at('teacher.onnx'), at('teacher.onnx'), '--student', at('small.onnx'), '-o', at('student.onnx'), '--data', at('data.jsonl'), '--epochs', '20', '--rate', '0.02', '--cache-teacher', '--seed', '1', '--json');
  expect(student.code).toBe(0);
  const [taught] = json(student.stdout).training;
  expect(taught!.validations.at(-1)!.loss).toBeLessThan(taught!.validations[0]!.loss);
  expect(await weightsOf(at('student.onnx'))).not.toEqual(await weightsOf(at('small.onnx')));
}, 60_000);

test('only the weights that are named are trained, the same with the same seed', async () => {
  const tune = async (name: string, ...more: string[]): Promise<Record<string, number[]>> => {
    const { code, stderr } = await run('finetune', at('small.onnx'), '-o', at(name), '--data', at('data.jsonl'), '--steps', '10', '--trainable', '/^sec/', '--quiet', '--no-check', ...more);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return weightsOf(at(name));
  };
  const first = await tune('a.onnx', '--seed', '5');
  const before = await weightsOf(at('small.onnx'));
  expect(first['first']).toEqual(before['first']);
  expect(first['second']).not.toEqual(before['second']);
  expect(await tune('b.onnx', '--seed', '5')).toEqual(first);
  expect(await tune('c.onnx', '--seed', '6')).not.toEqual(first);
});

test('a run that diverges leaves no output, and goes on from its last good checkpoint', async () => {
  const tune = (...more: string[]): ReturnType<typeof run> => run('finetune', at('small.onnx'), '-o', at('cut.onnx'), '--data', at('data.jsonl'), '--optimizer', 'sgd', '--schedule', 'constant', '--warmup', '0', '--clip', '0', '--checkpoint-every', '1000', '--seed', '1', '--json', ...more);
  const cut = await tune('--steps', '50', '--rate', '1e30');
  expect(cut.code).toBe(1);
  const { error } = json(cut.stdout);
  expect(error.code).toBe('E_DIVERGED');
  expect(error.hint).toMatch(/The checkpoint of step 0 is intact/);
  expect(existsSync(at('cut.onnx'))).toBe(false);
  expect(existsSync(at('cut.onnx.penjing'))).toBe(true);
  const other = await run('finetune', at('large.onnx'), '-o', at('cut.onnx'), '--data', at('data.jsonl'), '--steps', '4', '--resume', '--json');
  expect(json(other.stdout).error.code).toBe('E_RESUME');
  const again = await tune('--steps', '5', '--rate', '0.01', '--resume');
  expect(again.code).toBe(0);
  expect(existsSync(at('cut.onnx.penjing'))).toBe(false);
});

