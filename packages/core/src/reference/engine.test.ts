import { describe, expect, it } from 'vitest';
import { GraphBuilder, denseOf } from '../builder.js';
import { attribute } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { Model } from '../graph/model.js';
import { Node } from '../graph/node.js';
import { tensorType } from '../graph/value-type.js';
import { Value } from '../graph/value.js';
import { DenseTensor } from '../tensor.js';
import { referenceEngine } from './engine.js';
import { referenceGaps } from './kernels.js';

function start(): { model: Model; b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', 21);
  return { model, b: new GraphBuilder(model.graph) };
}

const values = (tensor: unknown): number[] => Array.from((tensor as DenseTensor).data as ArrayLike<number | bigint>, Number);

async function run(model: Model, feeds: Record<string, DenseTensor>): Promise<Record<string, number[]>> {
  await using executor = await referenceEngine().load(model);
  return Object.fromEntries(Object.entries(await executor.run(feeds)).map(([name, tensor]) => [name, values(tensor)]));
}

describe('referenceEngine', () => {
  it('runs nodes with weights, rounding to float32', async () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', ['n', 2]));
    const w = b.initializer('w', denseOf('float32', [2, 1], [0.1, 0.2]));
    b.output(b.op('MatMul', [x, w]), 'y');
    expect(await run(model, { x: denseOf('float32', [2, 2], [1, 2, 3, 4]) })).toEqual({
      y: [Math.fround(Math.fround(0.1) + 2 * Math.fround(0.2)), Math.fround(3 * Math.fround(0.1) + 4 * Math.fround(0.2))],
    });
  });

  it('keeps 64-bit integers exact', async () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('int64', [1]));
    b.output(b.op('Add', [x, x]), 'y');
    await using executor = await referenceEngine().load(model);
    const large = 2n ** 61n + 1n;
    const { y } = await executor.run({ x: DenseTensor.of('int64', [1], BigInt64Array.of(large)) });
    expect((y as DenseTensor).data).toEqual(BigInt64Array.of(2n * large));
  });

  it('runs a loop whose body reads values from outside', async () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', []));
    const body = new Graph('body');
    const [i, going, sum] = [new Value('i'), new Value('going'), new Value('sum')];
    body.inputs.push(i, going, sum);
    const [keep, next, seen] = [new Value('keep'), new Value('next'), new Value('seen')];
    body.append(new Node('Identity', [going], [keep]));
    body.append(new Node('Add', [sum, x], [next]));
    body.append(new Node('Identity', [next], [seen]));
    body.outputs.push(keep, next, seen);
    const [last, all] = b.nodes('Loop', [b.constant('int64', 3), null, b.constant('float32', 1)], { body: attribute.graph(body) }, { outputCount: 2 });
    b.output(last!, 'last');
    b.output(all!, 'all');
    expect(await run(model, { x: denseOf('float32', [], [2]) })).toEqual({ last: [7], all: [3, 5, 7] });
  });

  it('calls functions with the attributes of the call', async () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', [2]));
    const body = new Graph('body');
    const [input, output] = [new Value('a'), new Value('b')];
    body.inputs.push(input);
    body.append(new Node('LeakyRelu', [input], [output], { attributes: [['alpha', { kind: 'ref', name: 'slope', of: 'float' }]] }));
    body.outputs.push(output);
    model.functions.push({
      domain: 'local', name: 'Leak', overload: '', body, attributes: [], attributeDefaults: new Map([['slope', attribute.float(0.5)]]),
      opsetImports: new Map([['', 21]]), extra: undefined,
    });
    b.output(b.op('Leak', [x], {}, { domain: 'local' }), 'y');
    b.output(b.op('Leak', [x], { slope: attribute.float(0.25) }, { domain: 'local' }), 'z');
    expect(await run(model, { x: denseOf('float32', [2], [-4, 4]) })).toEqual({ y: [-2, 4], z: [-1, 4] });
  });

  it('names the node and the operator that it cannot run', async () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', [1]));
    b.output(b.op('Mystery', [x], {}, { domain: 'odd', name: 'here' }), 'y');
    await expect(run(model, { x: denseOf('float32', [1], [0]) })).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringContaining("odd.Mystery 'here'") as string });
  });

  it('checks its feeds', async () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', ['n', 2]));
    b.output(b.op('Relu', [x]), 'y');
    const one = denseOf('float32', [1, 2], [0, 0]);
    await expect(run(model, {})).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(run(model, { x: one, z: one })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(run(model, { x: denseOf('float32', [1, 3], [0, 0, 0]) })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(run(model, { x: denseOf('int32', [1, 2], [0, 0]) })).rejects.toMatchObject({ code: 'E_INPUT' });
    await using executor = await referenceEngine().load(model);
    await expect(executor.run({ x: one }, { signal: AbortSignal.abort() })).rejects.toThrow();
  });

  it('has a kernel for every operator of ai.onnx but the listed ones', () => {
    expect(referenceGaps.filter((name) => !name.includes('.')).sort()).toEqual([
      'Bernoulli', 'ImageDecoder', 'MaxRoiPool', 'Multinomial', 'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike',
    ]);
  });
});
