/** Flows that cannot be opened leave nothing open, and opening hears the signal. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Executor, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openFlow } from './open-flow.js';

let folder: string;
const at = (name: string): string => join(folder, name);
const never = new AbortController().signal;

async function write(name: string, columns: number): Promise<void> {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const type = tensorType('float32', ['batch', columns]);
  b.output(b.op('Add', [b.input('x', type), b.constant('float32', 1)]), 'y', type);
  await saveFile(at(name), serializeOnnx(model, { name, externalData: 'never' }));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-open-flow-'));
  await write('two.onnx', 2);
  await write('three.onnx', 3);
  await writeFile(at('broken.onnx'), 'no model');
});
afterAll(() => rm(folder, { recursive: true }));

/** How many of its executors were opened and not disposed of. */
function counted(): { readonly engine: ReturnType<typeof ortEngine>; readonly open: () => number; readonly loads: () => number } {
  const ort = ortEngine();
  let [loads, closed] = [0, 0];
  const watched = (executor: Executor): Executor => {
    loads++;
    return { inputs: executor.inputs, outputs: executor.outputs, run: (...run) => executor.run(...run), [Symbol.asyncDispose]: async () => (closed++, executor[Symbol.asyncDispose]()) };
  };
  return {
    engine: { ...ort, load: async (...load) => watched(await ort.load(...load)), loadFile: async (...load) => watched(await ort.loadFile(...load)) },
    open: () => loads - closed,
    loads: () => loads,
  };
}

async function flow(steps: object): Promise<string> {
  await writeFile(at('flow.json'), JSON.stringify(steps));
  return at('flow.json');
}

test.each([
  ['a later model of a step is none', { steps: [{ model: 'two.onnx', outputs: { y: 'a' } }, { models: ['two.onnx', 'two.onnx', 'broken.onnx'], reduction: 'mean' }], outputs: ['y'] }, 3],
  ['models of a mean do not match', { steps: [{ models: ['two.onnx', 'three.onnx'], reduction: 'mean' }], outputs: ['y'] }, 2],
  ['models that are joined do not match', { steps: [{ models: ['two.onnx', 'three.onnx'], reduction: 'concat' }], outputs: ['y'] }, 3],
  ['nobody gives what the flow gives', { steps: [{ models: ['two.onnx', 'two.onnx'], reduction: 'concat' }], outputs: ['z'] }, 3],
])('%s', async (_, content, expected) => {
  const { engine, open, loads } = counted();
  await expect(openFlow(await flow(content), { threads: 1, engine }, never)).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
  expect([loads(), open()]).toEqual([expected, 0]);
});

test('a signal between two models ends it, with all that was opened', async () => {
  const { engine, open } = counted();
  const controller = new AbortController();
  const loadFile: typeof engine.loadFile = async (...load) => {
    const executor = await engine.loadFile(...load);
    controller.abort(new Error('enough'));
    return executor;
  };
  const file = await flow({ steps: [{ models: ['two.onnx', 'two.onnx'], reduction: 'mean' }], outputs: ['y'] });
  await expect(openFlow(file, { threads: 1, engine: { ...engine, loadFile } }, controller.signal)).rejects.toThrow('enough');
  expect(open()).toBe(0);
});
