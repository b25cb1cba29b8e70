/** What differentiate does to a graph, and what it refuses. */
import { assertSound, cloneModel, denseOf, type DenseTensor, GraphBuilder, Model, type Node, print, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { trainableInputs } from '../trainable-inputs.js';
import { differentiate, missingGradients } from './differentiate.js';

function network(body: (b: GraphBuilder, x: Value, w: Value) => Value, opset = 21): Model {
  const model = new Model();
  model.opsetImports.set('', opset);
  const b = new GraphBuilder(model.graph);
  const y = body(b, b.input('x', tensorType('float32', ['n', 2])), b.initializer('w', denseOf('float32', [2, 2], [1, 2, 3, 4])));
  b.output(b.op('ReduceMean', [y], { keepdims: 0 }), 'loss');
  return model;
}

async function gradients(model: Model, of: readonly string[]): Promise<Record<string, readonly number[]>> {
  differentiate(model, { loss: 'loss', of });
  assertSound(model);
  await using executor = await referenceEngine().load(model);
  const outputs = await executor.run({ x: denseOf('float32', [1, 2], [1, -1]) });
  return Object.fromEntries(of.map((name) => [name, Array.from((outputs[`gradient/${name}`] as DenseTensor).data, Number)]));
}

test('a weight that is used twice gets both parts, an input and a result in between get theirs', async () => {
  const model = network((b, x, w) => b.op('MatMul', [b.op('MatMul', [x, w], {}, { outputs: ['h'] }), w]));
  // x w = [-2, -2]; the loss is the mean of [-8, -12].
  expect(await gradients(model, ['w', 'x', 'h'])).toEqual({ w: [0.5, 2.5, -2.5, -4.5], x: [8.5, 18.5], h: [1.5, 3.5] });
});

test('what the loss does not depend on has a gradient of zeros, and integers stop it', async () => {
  const model = network((b, x, w) => b.op('Add', [b.op('Floor', [b.op('MatMul', [x, w])]), x]));
  expect(await gradients(model, ['w', 'x'])).toEqual({ w: [0, 0, 0, 0], x: [0.5, 0.5] });
});

test('a gate whose own gradient is wanted gets it', async () => {
  const model = network((b, x, w) => {
    const h = b.op('MatMul', [x, w]);
    return b.op('Mul', [h, b.op('Sigmoid', [h], {}, { outputs: ['gate'] })]);
  });
  // the mean of two products with h = [-2, -2]
  expect(await gradients(model, ['gate'])).toEqual({ gate: [-1, -1] });
});

test('operators without a gradient are named, and the graph stays as it was', () => {
  const model = network((b, x, w) => b.op('Det', [b.op('Mod', [b.op('MatMul', [x, w]), x], { fmod: 1 })]));
  const before = print(cloneModel(model));
  expect(missingGradients(model, { loss: 'loss', of: ['w'] })).toEqual(['Det', 'Mod']);
  expect(() => differentiate(model, { loss: 'loss', of: ['w'] })).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', message: expect.stringContaining('Det, Mod') as string }) as Error);
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(['loss']);
  expect(print(model).split('\n').length).toBe(before.split('\n').length);
  // Nothing is wrong with them beside the way from the weight to the loss.
  expect(missingGradients(model, { loss: 'loss', of: [] })).toEqual([]);
});

test.each([
  ['an unknown loss', 21, { loss: 'nothing', of: ['w'] }, 'E_INPUT'],
  ['an unknown value', 21, { loss: 'loss', of: ['v'] }, 'E_INPUT'],
  ['a loss of several numbers', 21, { loss: 'x', of: ['w'] }, 'E_INPUT'],
  ['an old opset', 13, { loss: 'loss', of: ['w'] }, 'E_OPSET'],
])('%s is refused', (_, opset, options, code) => {
  expect(() => differentiate(network((b, x, w) => b.op('MatMul', [x, w]), opset), options)).toThrow(expect.objectContaining({ code }) as Error);
});

test('trainable weights become inputs with buffers of their own, others stay', async () => {
  const model = network((b, x, w) => b.op('Add', [b.op('MatMul', [x, w]), b.initializer('bias', denseOf('float32', [2], [5, 6]))]));
  const stored = model.graph.initializers.get('w')!.tensor as DenseTensor;
  const weights = await trainableInputs(model, { select: (name) => name === 'w' });
  assertSound(model);
  expect([...weights.keys()]).toEqual(['w']);
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(['x', 'w']);
  expect([...model.graph.initializers.keys()]).toContain('bias');
  (weights.get('w')!.data as Float32Array)[0] = 9;
  expect(stored.data[0]).toBe(1);
});

test('gradients are the same when blocks are computed again, and nothing but the kept values is read from the first pass', async () => {
  const build = (keep: readonly string[]): { model: Model; before: Set<Node> } => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    let x = b.input('x', tensorType('float32', ['n', 2]));
    for (const layer of [1, 2, 3]) {
      const [half] = b.nodes('Dropout', [b.op('MatMul', [x, b.initializer(`w${layer}`, denseOf('float32', [2, 2], [0.1 * layer, 0.2, -0.3, 0.4]))])]);
      x = b.op('Add', [x, b.op('Tanh', [b.op('Mul', [b.op('Softmax', [half]), x])])], {}, { outputs: [`h${layer}`] });
    }
    b.output(b.op('ReduceMean', [x], { keepdims: 0 }), 'loss');
    const before = new Set(model.graph.nodes());
    differentiate(model, { loss: 'loss', of: ['w1', 'w2', 'w3', 'x', 'h2'], keep });
    assertSound(model);
    return { model, before };
  };
  const run = async (model: Model): Promise<Record<string, readonly number[]>> => {
    await using executor = await referenceEngine().load(model);
    const outputs = await executor.run({ x: denseOf('float32', [2, 2], [1, -1, 0.5, 2]) });
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, Array.from((tensor as DenseTensor).data, Number)]));
  };
  const again = build(['h1', 'h2']);
  expect(await run(again.model)).toEqual(await run(build([]).model));
  const read = [...again.before].flatMap((node) => [...node.outputs]).filter((value) => value.uses().some(({ node }) => !again.before.has(node)));
  // Those of the last block; the first two are computed again.
  expect(read.map(({ producer }) => producer!.opType).filter((opType) => opType === 'Softmax' || opType === 'Tanh')).toEqual(['Softmax', 'Tanh']);
});
