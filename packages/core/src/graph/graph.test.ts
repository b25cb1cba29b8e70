import { describe, expect, test } from 'vitest';
import { Graph, GraphBuilder, Model, Node, Value, allNodes, attribute, blocks, capturedValues, check, cloneModel, denseOf, print, storedTensors, tensorType } from '../index.js';

/** relu(x·W0)·W1 … with a residual around every layer, and an If that captures an outer value. */
function residualModel(layers: number): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['batch', 4]));
  x = b.op('Identity', [x]);
  for (let i = 0; i < layers; i++) {
    b.scope(`layer.${i}`, () => {
      const w = b.initializer(`w${i}`, denseOf('float32', [4, 4], new Array<number>(16).fill(i + 1)));
      const h = b.op('Relu', [b.op('MatMul', [x, w])]);
      x = b.op('Add', [x, h]);
    });
  }
  b.output(x, 'y', tensorType('float32', ['batch', 4]));
  return model;
}

function ifModel(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', [2]));
  const condition = b.input('condition', tensorType('bool', []));
  const branch = (name: string, opType: string): Graph => {
    const graph = new Graph(name);
    const inner = new GraphBuilder(graph);
    inner.output(inner.op(opType, [x]), `${name}_y`);
    return graph;
  };
  const y = b.op('If', [condition], { then_branch: attribute.graph(branch('then', 'Neg')), else_branch: attribute.graph(branch('else', 'Abs')) });
  b.output(y, 'y');
  return model;
}

describe('use lists', () => {
  test('setInput, replaceUsesWith and remove keep them true', () => {
    const model = residualModel(1);
    const [identity, matmul, relu, add] = [...model.graph.nodes()];
    const x = identity!.output();
    expect(x.useCount).toBe(2);
    x.replaceUsesWith(model.graph.inputs[0]!);
    expect(x.useCount).toBe(0);
    expect(matmul!.input(0)).toBe(model.graph.inputs[0]);
    expect(add!.input(0)).toBe(model.graph.inputs[0]);
    model.graph.remove(identity!);
    expect(model.graph.nodeCount).toBe(3);
    expect(() => model.graph.remove(relu!)).toThrow(/is used/);
    expect(check(model)).toEqual([]);
  });

  test('one value may feed two inputs of a node', () => {
    const v = new Value('v');
    const node = new Node('Mul', [v, v], [new Value('o')]);
    expect(v.uses()).toEqual([{ node, index: 0 }, { node, index: 1 }]);
    node.setInput(0, null);
    expect(v.uses()).toEqual([{ node, index: 1 }]);
  });

  test('nodes may be removed and inserted during a walk', () => {
    const graph = new Graph();
    for (const name of ['a', 'b', 'c', 'd']) graph.append(new Node('Noop', [], [], { name }));
    const seen: string[] = [];
    for (const node of graph.nodes()) {
      seen.push(node.name);
      if (node.name === 'b') {
        graph.insertAfter(node, new Node('Noop', [], [], { name: 'b2' }));
        graph.remove(node);
      }
      if (node.name === 'c') graph.remove(node);
    }
    expect(seen).toEqual(['a', 'b', 'b2', 'c', 'd']);
    expect([...graph.nodes()].map((node) => node.name)).toEqual(['a', 'b2', 'd']);
  });
});

describe('check', () => {
  test('finds each broken invariant', () => {
    const model = residualModel(1);
    const [first] = [...model.graph.nodes()];
    first!.domain = 'unknown.domain';
    const stray = new Value('stray');
    [...model.graph.nodes()][1]!.setInput(1, stray);
    model.graph.outputs.push(new Value('nowhere'));
    const messages = check(model).map((issue) => issue.message).join('\n');
    expect(messages).toMatch(/unknown\.domain/);
    expect(messages).toMatch(/reads stray before it is defined/);
    expect(messages).toMatch(/output nowhere is not computed/);
  });

  test('accepts subgraphs that capture outer values', () => {
    expect(check(ifModel())).toEqual([]);
  });
});

describe('clone', () => {
  test('is equal, sound and independent', () => {
    for (const model of [residualModel(3), ifModel()]) {
      const copy = cloneModel(model);
      expect(print(copy)).toBe(print(model));
      expect(check(copy)).toEqual([]);
      const before = print(model);
      for (const node of allNodes(copy.graph)) node.opType = 'Changed';
      expect(print(model)).toBe(before);
    }
  });

  test('captured values point into the copy', () => {
    const copy = cloneModel(ifModel());
    const [branch] = [...copy.graph.nodes()][0]!.subgraphs();
    expect([...capturedValues(branch!)]).toEqual([copy.graph.inputs[0]]);
  });
});

describe('blocks', () => {
  test('cuts a residual chain once per layer', () => {
    const parts = blocks(residualModel(4));
    expect(parts.map((part) => part.weights.map((weight) => weight.name))).toEqual([['w0'], ['w1'], ['w2'], ['w3']]);
    for (const part of parts) expect(part.outputs).toHaveLength(1);
    for (const part of parts) expect(part.inputs).toHaveLength(1);
    expect(parts.flatMap((part) => part.nodes)).toHaveLength(13);
  });

  test('context that every layer reads, and casts of weights, do not hide the cuts', () => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    let x = b.input('x', tensorType('float32', ['batch', 4]));
    const context = b.op('Cos', [b.input('angles', tensorType('float32', ['batch', 4]))]);
    const matrix = (name: string): Value => b.initializer(name, denseOf('float32', [4, 4], new Array<number>(16).fill(1)));
    const cast = b.op('Cast', [matrix('w2')], { to: 1 });
    x = b.op('MatMul', [x, matrix('w0')]);
    x = b.op('Add', [x, b.op('MatMul', [b.op('Mul', [x, context]), matrix('w1')])]);
    x = b.op('Add', [x, b.op('MatMul', [b.op('Mul', [x, context]), cast])]);
    b.output(x, 'y');
    expect(blocks(model).map((part) => part.weights.map(({ name }) => name))).toEqual([['w2', 'w0'], ['w1'], []]);
  });

  test('a model without weights is one block', () => {
    expect(blocks(ifModel())).toHaveLength(1);
  });
});

test('storedTensors replaces initializers and tensor attributes', () => {
  const model = residualModel(2);
  const zero = denseOf('float32', [4, 4], new Array<number>(16).fill(0));
  for (const stored of storedTensors(model)) stored.replace(zero);
  expect([...model.graph.initializers.values()].every((value) => value.tensor === zero)).toBe(true);
});

describe('names of inner graphs', () => {
  /** An If whose branch has a local value of a given name and reads the outer `x`. */
  const withLocal = (name: string, readsOuter: boolean): Model => {
    const model = ifModel();
    const branch = [...model.graph.nodes()].flatMap((node) => node.subgraphs())[0]!;
    const local = new Value(name);
    branch.append(new Node('Constant', [], [local]));
    branch.append(new Node('Neg', [readsOuter ? model.graph.inputs[0]! : local], [new Value('negated')]));
    return model;
  };

  test('may hide an outer name that the inner graph does not read', () => {
    expect(check(withLocal('condition', false))).toEqual([]);
    expect(check(withLocal('other', true))).toEqual([]);
  });

  test('may not hide one that it reads: the file would name the wrong value', () => {
    expect(check(withLocal('x', true)).map(({ message }) => message).join()).toMatch(/Neg reads x of an outer graph/);
  });
});
