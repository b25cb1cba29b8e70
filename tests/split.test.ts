/** `penjing split` and `run` of what it made, against the whole model. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, type Executor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveLayouts } from '@penjing/graph-io/node';
import { readSplitFolder } from '@penjing/parallel';
import { splitIntoShards, splitModel } from '@penjing/recipe';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { relativeDifference } from '../packages/parallel/src/testing/relative-difference.js';
import { openAsPlanned } from '../packages/recipe/src/parallel/open-as-planned.js';
import { OrtChain } from '../packages/runtime/src/engine/chain.js';

let folder: string;
let model: Model;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-test-'));
  model = perceptron(4, 256);
  await saveLayouts(join(folder, 'model'), serializeOnnx(model, { name: 'model.onnx' }));
});
afterAll(() => rm(folder, { recursive: true }));

const wave = (shape: readonly number[], step: number): DenseTensor =>
  DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * step) / Math.sqrt(shape[0]!)));

function perceptron(layers: number, width: number): Model {
  const made = new Model();
  made.opsetImports.set('', 17);
  const b = new GraphBuilder(made.graph);
  let x: Value = b.input('x', tensorType('float32', ['batch', width]));
  for (let i = 0; i < layers; i++) x = b.op('Relu', [b.op('MatMul', [x, b.initializer(`w${i}`, wave([width, width], 0.37 + i))])]);
  b.output(x, 'y', tensorType('float32', ['batch', width]));
  return made;
}

async function difference(split: Executor): Promise<number> {
  await using parts = split;
  await using whole = await ortEngine({ threads: 1 }).load(model);
  const x = wave([8, 256], 0.11);
  return relativeDifference(await parts.run({ x }), await whole.run({ x }));
}

const manifest = async (at: string): Promise<{ split: Record<string, unknown> }> => JSON.parse(await readFile(join(folder, at, 'penjing.json'), 'utf8')) as { split: Record<string, unknown> };

test('stages of a pipeline give the same bits', async () => {
  const { stages } = await splitModel(join(folder, 'model'), { stages: 2, output: join(folder, 'stages') });
  expect(stages.map(({ file }) => file)).toEqual(['stage-1.onnx', 'stage-2.onnx']);
  const tied = vi.spyOn(OrtChain, 'open');
  expect(await difference(await openAsPlanned(join(folder, 'stages')))).toBe(0);
  // Values go from stage to stage, past this thread.
  expect(tied).toHaveBeenCalledTimes(1);
  expect(tied.mock.calls[0]![0]).toHaveLength(2);
  await expect(splitModel(join(folder, 'model'), { stages: 2, output: join(folder, 'stages') })).rejects.toMatchObject({ code: 'E_EXISTS' });
});

test('shards give the same to 1e-5, each with half of the weights', async () => {
  const { files, program, bytes } = await splitIntoShards(join(folder, 'model'), { shards: 2, output: join(folder, 'shards') });
  expect(program.filter(({ kind }) => kind === 'reduce')).toHaveLength(2);
  expect(files[0]).toHaveLength(files[1]!.length);
  expect(bytes).toBeLessThan(1.1 * 4 * 256 * 256 * 4);
  expect(await difference(await openAsPlanned(join(folder, 'shards')))).toBeLessThan(1e-5);
});

test('a manifest of shards that says what cannot be is refused by its place', async () => {
  await splitIntoShards(join(folder, 'model'), { shards: 2, output: join(folder, 'hostile') });
  const { split } = await manifest('hostile');
  expect(readSplitFolder(split)).toMatchObject({ kind: 'tensor', shards: 2 });
  const changed = (edit: (copy: Record<string, never>) => void): unknown => {
    const copy = structuredClone(split) as Record<string, never>;
    edit(copy);
    return copy;
  };
  const cut = { axis: 1, ranges: [[[0, 128]], [[128, 256]]] };
  const port = { name: 'x', value: 'x', type: { kind: 'tensor', dtype: 'float32', shape: ['batch', 256] } };
  for (const [edit, said] of [
    [{ files: [['../a.onnx'], ['b.onnx']] }, /files\[0\]\[0\] is no name of a file/],
    [{ files: [['a.onnx']] }, /2 lists of one length/],
    [{ shards: 1e9 }, /shards must be a number from 1/],
    [{ program: [{ kind: 'run', segment: 99 }] }, /program\[0\].segment/],
    [{ program: [{ kind: 'sing' }] }, /"run", "reduce" or "gather"/],
    [{ inputs: [{ ...port, cut: { ...cut, ranges: [[[0, 128]], [[100, 256]]] } }] }, /overlap at 100/],
    [{ inputs: [{ ...port, cut: { ...cut, ranges: [[[0, 128]], [[130, 256]]] } }] }, /leave something out at 128/],
    [{ inputs: [{ ...port, cut: { ...cut, ranges: [[[0, 256]]] } }] }, /must be 2 lists/],
    [{ inputs: [{ ...port, type: { kind: 'tensor', dtype: 'float33' } }] }, /an element type/],
    [{ surprise: 1 }, /unknown field "surprise"/],
  ] as const) {
    expect(() => readSplitFolder(changed((copy) => Object.assign(copy, edit)))).toThrow(said);
  }
  // cuts that fit each other but not the model end in an error, not in numbers
  const path = join(folder, 'hostile/penjing.json');
  const whole = await manifest('hostile');
  await writeFile(path, JSON.stringify({ ...whole, split: { ...whole.split, inputs: [{ ...port, cut }] } }));
  await expect(openAsPlanned(join(folder, 'hostile')).then(difference)).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
});
