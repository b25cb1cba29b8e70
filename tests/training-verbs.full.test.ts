/** `finetune` and `distill` on a small classifier: a teacher and its student, the same bits with the same seed, a run that diverges. */
import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createRng, denseOf, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { printed as json, trainingFolder, weightsOf, writeModel } from './support/training-verbs.js';

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


/** Mean of the embeddings of the tokens that are there → logits (n, 2). */
function bagOfWords(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(4);
  const weight = (name: string, shape: [number, number]) => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape[0] * shape[1] }, () => rng.normal() / 10)));
  const mask = b.op('Cast', [b.op('Unsqueeze', [b.input('attention_mask', tensorType('int64', ['n', 't'])), b.constant('int64', [-1])])], { to: 1 });
  const words = b.op('Mul', [b.op('Gather', [weight('words', [4096, 16]), b.input('input_ids', tensorType('int64', ['n', 't']))]), mask]);
  const sum = (x: Value): Value => b.op('ReduceSum', [x, b.constant('int64', [1])], { keepdims: 0 });
  const mean = b.op('Div', [sum(words), sum(mask)]);
  b.output(b.op('MatMul', [mean, weight('head', [16, 2])]), 'logits', tensorType('float32', ['n', 2]));
  return model;
}

test('texts of different lengths are filled up behind a mask, and their classes have names', async () => {
  await writeModel(at('texts.onnx'), bagOfWords());
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) await copyFile(fileURLToPath(new URL(`../models/sapling/${file}`, import.meta.url)), at(file));
  const words = { sea: ['ship', 'wave', 'sail', 'storm'], land: ['horse', 'road', 'field', 'house'] };
  const rows = Array.from({ length: 200 }, (_, i) => {
    const name = i % 2 === 0 ? 'sea' : 'land';
    return `"${Array.from({ length: 1 + (i % 5) }, (__, k) => words[name][(i * 7 + k * 3) % 4]).join(' ')}",${name}`;
  });
  await writeFile(at('texts.csv'), ['text,label', ...rows].join('\n'));
  await writeFile(at('other.csv'), ['text,label', ...rows.map((row) => row.replace(/land$/, 'air'))].join('\n'));
  const tune = (...more: string[]): ReturnType<typeof run> => run('finetune', at('texts.onnx'), '-o', at('tuned-texts.onnx'), '--data', at('texts.csv'), '--epochs', '10', '--rate', '0.02', '--seed', '1', '--json', ...more);
  expect(json((await tune('--validation', at('other.csv'))).stdout).error).toMatchObject({ code: 'E_DATA', message: expect.stringMatching(/other classes/) as string });
  const { code, stdout } = await tune();
  expect(code).toBe(0);
  expect(json(stdout).training[0]!.validations.at(-1)!.metrics.accuracy).toBeGreaterThan(0.95);
});
