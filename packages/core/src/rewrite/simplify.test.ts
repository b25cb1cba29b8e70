import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../builder.js';
import type { Engine } from '../engine.js';
import { attribute } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { Model } from '../graph/model.js';
import { Node } from '../graph/node.js';
import { Value } from '../graph/value.js';
import { type ValueType, tensorType } from '../graph/value-type.js';
import { lazy } from '../lazy-ops.js';
import { memorySource } from '../bytes.js';
import type { DenseTensor } from '../tensor.js';
import { referenceEngine } from '../reference/engine.js';
import { simplify, simplifyRules } from './simplify.js';
import { floats, randomTensor, rewriteBoth } from './testing.js';

function start(opset = 17): { model: Model; b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', opset);
  return { model, b: new GraphBuilder(model.graph) };
}

describe('folding', () => {
  it('computes what depends on constants only, all of it with one session', async () => {
    let loads = 0;
    const inner = referenceEngine();
    const engine: Engine = { name: 'counting', load: (model, options) => (loads++, inner.load(model, options)) };
    const { ops, branch } = await rewriteBoth({
      options: { engine, only: ['fold', 'dead'] },
      build: (b, input) => {
        const a = b.op('Sqrt', [b.op('Add', [b.constant('float32', [1, 2, 3]), b.constant('float32', 1)])]);
        const c = b.op('Exp', [b.constant('float32', [1, 2, 3])]);
        return b.op('Mul', [b.op('Add', [input('x', floats(2, 3)), a]), c]);
      },
    });
    expect(ops).toEqual(['Add', 'Mul']);
    expect(branch).toEqual(['Add', 'Mul']);
    // Two models were simplified.
    expect(loads).toBe(2);
  });

  it('skips a fold that stores more than it removes, and folds what stands before it', async () => {
    const big = (b: GraphBuilder, x: Value): Value => b.op('Add', [x, b.op('ConstantOfShape', [b.op('Mul', [b.constant('int64', [64, 8]), b.constant('int64', [1, 8])])])]);
    const only = ['fold', 'dead'];
    expect((await rewriteBoth({ options: { only }, build: (b, input) => big(b, input('x', floats(64, 64))) })).ops).toEqual(['ConstantOfShape', 'Add']);
    expect((await rewriteBoth({ options: { only, allowGrowth: true }, build: (b, input) => big(b, input('x', floats(64, 64))) })).ops).toEqual(['Add']);
  });

  it('leaves random numbers, dequantized weights and training dropout', async () => {
    const { model, b } = start();
    const x = b.input('x', floats(4));
    const random = b.op('RandomNormalLike', [b.constant('float32', [1, 2, 3, 4])]);
    const weight = b.op('DequantizeLinear', [b.constant('int8', [1, 2, 3, 4]), b.constant('float32', 0.5)]);
    const dropped = b.op('Dropout', [b.constant('float32', [1, 2, 3, 4]), b.constant('float32', 0.5), b.constant('bool', 1)]);
    b.output(b.op('Sum', [x, random, weight, dropped]), 'y');
    const twice = b.op('RandomNormalLike', [b.constant('float32', [1, 2, 3, 4])]);
    b.output(twice, 'z');
    const { applied } = await simplify({ engine: referenceEngine() }).run(model, {});
    expect(Object.keys(applied)).not.toContain('fold');
    expect([...model.graph.nodes()].map((node) => node.opType)).toEqual(['RandomNormalLike', 'DequantizeLinear', 'Dropout', 'Sum', 'RandomNormalLike']);
  });

  it('names a node that the engine cannot run and folds the rest', async () => {
    const inner = referenceEngine();
    const engine: Engine = {
      name: 'picky',
      load: (model, options) => ([...model.graph.nodes()].some((node) => node.opType === 'Exp') ? Promise.reject(new Error('no Exp here')) : inner.load(model, options)),
    };
    const { model, b } = start();
    const x = b.input('x', floats(3));
    b.output(b.op('Sum', [x, b.op('Exp', [b.constant('float32', [1, 2, 3])]), b.op('Neg', [b.constant('float32', [1, 2, 3])])]), 'y');
    const { warnings } = await simplify({ engine }).run(model, {});
    expect([...model.graph.nodes()].map((node) => node.opType)).toEqual(['Exp', 'Sum']);
    expect(warnings).toEqual([expect.stringMatching(/not folded: no Exp here/)]);
  });

  it('follows sizes through Shape, Gather, arithmetic and Concat', async () => {
    const { ops, branch } = await rewriteBoth({
      options: { only: ['known', 'dead'] },
      build: (b, input) => {
        const x = input('x', floats(2, 6));
        const width = b.op('Gather', [b.op('Shape', [x]), b.constant('int64', [1])]);
        const half = b.op('Div', [width, b.constant('int64', [2])]);
        return b.op('Reshape', [x, b.op('Concat', [b.constant('int64', [-1]), half], { axis: 0 })]);
      },
    });
    expect(ops).toEqual(['Reshape']);
    expect(branch).toEqual(['Reshape']);
  });

  it('does not trust a slice that may be cut short', async () => {
    await rewriteBoth({
      options: { only: ['known', 'dead'] },
      unchanged: true,
      feeds: { x: randomTensor([3, 2]) },
      build: (b, input) => b.op('Shape', [b.op('Slice', [input('x', tensorType('float32', ['n', 2])), b.constant('int64', [0]), b.constant('int64', [8]), b.constant('int64', [0])])]),
    });
  });

  it('leaves float arithmetic over sizes to the engine, which rounds as the operator does', async () => {
    const sizes = (b: GraphBuilder, x: Value): Value => b.op('Cast', [b.op('Mul', [b.op('Cast', [b.op('Shape', [x])], { to: 1 }), b.constant('float32', [0.7])])], { to: 7 });
    const build = (b: GraphBuilder, input: (name: string, type: ValueType) => Value): Value => sizes(b, input('x', floats(10)));
    expect((await rewriteBoth({ options: { only: ['known', 'dead'] }, build })).ops).toContain('Mul');
    const { ops, model } = await rewriteBoth({ options: { only: ['known', 'fold', 'dead'] }, build });
    expect(ops).toEqual([]);
    // 10 · 0.7 is 7 in float32, and less in float64.
    expect([...model.graph.initializers.values()].map(({ tensor }) => [...(tensor as DenseTensor).data])).toEqual([[7n]]);
  });
});

describe('common subexpressions', () => {
  it('are computed once, also between a branch and the graph around it', async () => {
    const { ops, branch } = await rewriteBoth({
      options: { only: ['common', 'dead', 'weights'] },
      build: (b, input) => {
        const x = input('x', floats(2, 3));
        const [one, two] = [b.op('Mul', [x, b.initializer('w', randomTensor([3]))]), b.op('Mul', [x, b.initializer('w2', randomTensor([3]))])];
        return b.op('Add', [b.op('Exp', [one]), b.op('Exp', [two])]);
      },
    });
    expect(ops).toEqual(['Mul', 'Exp', 'Add']);
    expect(branch).toEqual(['Mul', 'Exp', 'Add']);
  });

  it('both outputs stay when both are outputs', async () => {
    const { ops } = await rewriteBoth({ options: { only: ['common', 'dead'] }, build: (b, input) => { const x = input('x', floats(2)); return [b.op('Exp', [x]), b.op('Exp', [x])]; } });
    expect(ops).toEqual(['Exp', 'Exp']);
  });

  it('weights on disk are compared by content, and read no further than needed', async () => {
    const { model, b } = start();
    const reads: number[] = [];
    const source = (fill: number) => {
      const bytes = new Uint8Array(1 << 20).fill(fill);
      if (fill > 2) bytes.fill(2);
      if (fill > 2) bytes[bytes.length - 1] = 9;
      const memory = memorySource(bytes);
      return lazy.source({ ...memory, read: (offset, length) => (reads.push(length), memory.read(offset, length)) }, 0, 'float32', [512, 512]);
    };
    const x = b.input('x', floats(1, 512));
    const [a, same, other, late] = [source(1), source(1), source(2), source(3)];
    for (const [i, tensor] of [a, same, other, late].entries()) b.output(b.op('MatMul', [x, b.initializer(`w${i}`, tensor)]), `y${i}`);
    const { applied } = await simplify({ only: ['weights'] }).run(model, {});
    expect(applied).toEqual({ weights: 1 });
    expect([...model.graph.initializers.keys()]).toEqual(['w0', 'w2', 'w3']);
    expect(Math.max(...reads)).toBeLessThanOrEqual(1 << 20);
  });
});

describe('the pass', () => {
  it('works in function bodies, where constants are nodes', async () => {
    const { model, b } = start();
    const body = new Graph('f');
    const input = new Value('a');
    body.inputs.push(input);
    const inner = new GraphBuilder(body);
    const constant = (values: number[]): Value => inner.op('Constant', [], { value: attribute.tensor(randomTensor([values.length])) });
    const sum = inner.op('Add', [constant([1, 2, 3]), constant([4, 5, 6])]);
    const out = inner.op('Identity', [inner.op('Mul', [inner.op('Identity', [input]), sum])]);
    body.outputs.push(out);
    model.functions.push({ domain: 'local', name: 'f', overload: '', body, attributes: [], attributeDefaults: new Map(), opsetImports: new Map([['', 17]]), extra: undefined });
    model.opsetImports.set('local', 1);
    b.output(b.op('f', [b.input('x', floats(2, 3))], {}, { domain: 'local' }), 'y');
    const feeds = { x: randomTensor([2, 3]) };
    const before = await (await referenceEngine().load(model)).run(feeds);
    const result = await simplify({ engine: referenceEngine() }).run(model, {});
    expect([...body.nodes()].map((node) => node.opType)).toEqual(['Constant', 'Mul']);
    expect(body.initializers.size).toBe(0);
    expect(await (await referenceEngine().load(model)).run(feeds)).toEqual(before);
    expect(result.nodesAfter).toBe(2);
  });

  it('renames inner values that hide outer ones before anything moves', async () => {
    const { model, b } = start();
    const x = b.input('x', floats(2));
    const shared = b.op('Exp', [x], {}, { outputs: ['hidden'] });
    const branch = (name: string): Graph => {
      const graph = new Graph(name);
      const [local, out] = [new Value('hidden'), new Value(`${name}_out`)];
      graph.append(new Node('Neg', [x], [local]));
      graph.append(new Node('Exp', [x], [new Value('again')]));
      const [, again] = [...graph.nodes()];
      graph.append(new Node('Add', [local, again!.output(0)], [out]));
      graph.outputs.push(out);
      return graph;
    };
    const condition = b.input('condition', tensorType('bool', []));
    b.output(b.op('If', [condition], { then_branch: attribute.graph(branch('a')), else_branch: attribute.graph(branch('b')) }), 'y');
    b.output(shared, 'z');
    // `z` renamed the output; hide it again.
    for (const graph of [...model.graph.nodes()].flatMap((node) => node.subgraphs())) [...graph.nodes()][0]!.output(0).name = 'z';
    await simplify({ only: ['common', 'dead'] }).run(model, {});
    const inner = [...model.graph.nodes()].find((node) => node.opType === 'If')!.subgraph('then_branch')!;
    expect([...inner.nodes()].map((node) => node.opType)).toEqual(['Neg', 'Add']);
  });

  it('freezes inputs with defaults unless told otherwise', async () => {
    const make = (): { model: Model } => {
      const { model, b } = start();
      const x = b.input('x', floats(3));
      const w = b.initializer('w', randomTensor([3]));
      model.graph.inputs.push(w);
      b.output(b.op('Mul', [x, b.op('Neg', [w])]), 'y');
      return { model };
    };
    const frozen = make().model;
    const { warnings } = await simplify({ engine: referenceEngine() }).run(frozen, {});
    expect(warnings[0]).toMatch(/1 inputs with a default became constants: w/);
    expect([...frozen.graph.nodes()].map((node) => node.opType)).toEqual(['Mul']);
    const kept = make().model;
    await simplify({ engine: referenceEngine(), keepDefaults: true }).run(kept, {});
    expect([...kept.graph.nodes()].map((node) => node.opType)).toEqual(['Neg', 'Mul']);
  });

  it('raises the operator set first, so that fusions find what it brings', async () => {
    const { model, b } = start(13);
    const x = b.input('x', floats(2, 3));
    b.output(b.op('Mul', [b.op('Mul', [x, b.op('Add', [b.op('Erf', [b.op('Div', [x, b.constant('float32', Math.SQRT2)])]), b.constant('float32', 1)])]), b.constant('float32', 0.5)]), 'y');
    await simplify({ opset: 20 }).run(model, {});
    expect([...model.graph.nodes()].map((node) => node.opType)).toEqual(['Gelu']);
    expect(model.opset()).toBe(20);
    expect((await simplify({ opset: 18 }).run(model, {})).modified).toBe(false);
  });

  it('refuses an unknown rule', () => {
    expect(() => simplify({ only: ['identitty'] })).toThrowError(expect.objectContaining({ code: 'E_OPTION' }) as Error);
    expect(simplifyRules).toContain('identity');
  });

  it('stops when asked to', async () => {
    const { model, b } = start();
    b.output(b.op('Abs', [b.input('x', floats(1))]), 'y');
    await expect(simplify().run(model, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
