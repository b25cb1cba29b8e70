import { describe, expect, test } from 'vitest';
import { denseOf, GraphBuilder } from './builder.js';
import { attribute } from './graph/attribute.js';
import { check } from './graph/check.js';
import { Graph } from './graph/graph.js';
import { Model } from './graph/model.js';
import { tensorType } from './graph/value-type.js';

describe('GraphBuilder', () => {
  test('makes names that do not collide, under a path of scopes', () => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    let x = b.input('x', tensorType('float32', [2]));
    x = b.op('Relu', [x]);
    x = b.op('Relu', [x]);
    x = b.scope('layer', () => b.op('Relu', [x]));
    const again = new GraphBuilder(model.graph).op('Relu', [x]);
    expect([...model.graph.nodes()].map(({ name }) => name)).toEqual(['Relu', 'Relu_1', 'layer/Relu', 'Relu_2']);
    expect(again.name).toBe('Relu_2.out');
    expect(check(model)).toEqual([]);
  });

  test('outputs have exactly the name they are given', () => {
    const b = new GraphBuilder(new Graph());
    const x = b.input('x', tensorType('float32', [2]));
    expect(() => b.output(x, 'y')).toThrow(/rename the input x/);
    const y = b.output(b.op('Relu', [x]), 'y');
    expect(() => b.output(b.op('Relu', [x]), 'y')).toThrow(/name of another value/);
    expect(b.output(y, 'y')).toBe(y);
  });

  test('equal constants are made once; 0 and -0 are not equal', () => {
    const b = new GraphBuilder(new Graph());
    expect(b.constant('float32', [1, 2])).toBe(b.constant('float32', [1, 2]));
    expect(b.constant('float32', [1, 2])).not.toBe(b.constant('float32', [1, 2], [2, 1]));
    expect(b.constant('float32', 0)).not.toBe(b.constant('float32', -0));
    expect(b.constant('int64', 0)).not.toBe(b.constant('int32', 0));
  });

  test('numbers become attributes by what they are', () => {
    const b = new GraphBuilder(new Graph());
    const { attributes } = b.op('Any', [], { axis: 1, alpha: 0.5, huge: 1e300, axes: [], perm: [1, 0], scales: [1, 0.5], name: 'x', names: ['x'] }).producer!;
    expect(Object.fromEntries([...attributes].map(([name, { kind }]) => [name, kind]))).toEqual({
      axis: 'int', alpha: 'float', huge: 'float', axes: 'ints', perm: 'ints', scales: 'floats', name: 'string', names: 'strings',
    });
  });

  test('trailing omitted inputs are dropped, others kept', () => {
    const b = new GraphBuilder(new Graph());
    const x = b.input('x', tensorType());
    expect(b.op('Any', [x, null, x, undefined]).producer!.inputs).toEqual([x, null, x]);
    expect(b.nodes('Any', [], {}, { outputs: ['a', '', 'b'] }).map(({ name }) => name)).toEqual(['a', '', 'b']);
  });
});

describe('denseOf', () => {
  test('holds every number exactly or refuses', () => {
    expect([...denseOf('int64', [2], [-1, 2 ** 40]).data]).toEqual([-1n, 2n ** 40n]);
    expect([...denseOf('bool', [2], [1, 0]).data]).toEqual([1, 0]);
    for (const [dtype, value] of [['int8', 128], ['uint8', -1], ['int64', 1.5], ['int64', 2 ** 63], ['uint64', 2 ** 64], ['bool', 2], ['int32', Number.NaN]] as const) {
      expect(() => denseOf(dtype, [1], [value])).toThrow(expect.objectContaining({ code: 'E_DTYPE' }));
    }
    for (const dtype of ['float16', 'bfloat16', 'int4', 'float4e2m1', 'string'] as const) expect(() => denseOf(dtype, [1], [1])).toThrow(/made from bits/);
    expect(() => denseOf('float32', [2], [1])).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
  });

  test('subgraphs take the nodes, the graph around them weights and constants', () => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    const condition = b.input('condition', tensorType('bool', []));
    const x = b.input('x', tensorType('float32', [2]));
    const [one, other] = ['Add', 'Mul'].map((type) => b.subgraph(type, () => [b.op(type, [x, b.constant('float32', 2)])]));
    b.output(b.op('If', [condition], { then_branch: attribute.graph(one!), else_branch: attribute.graph(other!) }), 'y', tensorType('float32', [2]));
    expect([one!.nodeCount, other!.nodeCount, model.graph.nodeCount]).toEqual([1, 1, 1]);
    expect([one!.initializers.size, model.graph.initializers.size]).toEqual([0, 1]);
    expect(check(model)).toEqual([]);
    expect(new Set([one!, other!].map((graph) => graph.outputs[0]!.name)).size).toBe(2);
  });
});
