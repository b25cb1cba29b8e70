/** Random graphs with nested branches: copies are equal and independent, cuts are a partition, edits keep use lists true. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GraphBuilder, denseOf } from '../builder.js';
import { attribute } from './attribute.js';
import { blocks } from './blocks.js';
import { check } from './check.js';
import { cloneModel } from './clone.js';
import { Graph } from './graph.js';
import { Model } from './model.js';
import { Names } from './names.js';
import { print } from './print.js';
import { allGraphs, allNodes, capturedValues, modelGraphs } from './traverse.js';
import { tensorType } from './value-type.js';
import type { Value } from './value.js';

interface Step {
  readonly kind: 'unary' | 'binary' | 'weighted' | 'if';
  readonly a: number;
  readonly b: number;
  readonly inner: readonly Step[];
}

const { steps } = fc.letrec<{ steps: Step[]; step: Step }>((tie) => ({
  steps: fc.array(tie('step'), { minLength: 1, maxLength: 6 }),
  step: fc.record({
    kind: fc.constantFrom('unary', 'binary', 'weighted', 'if'),
    a: fc.nat(), b: fc.nat(),
    inner: fc.oneof({ maxDepth: 2 }, fc.constant([]), tie('steps')),
  }),
}));

function grow(b: GraphBuilder, seen: readonly Value[], plan: readonly Step[], prefix: string): Value {
  const values = [...seen];
  plan.forEach(({ kind, a, b: second, inner }, i) => {
    const name = `${prefix}${i}`;
    const x = values[a % values.length]!;
    const y = values[second % values.length]!;
    const make = {
      unary: () => b.op('Neg', [x], {}, { name }),
      binary: () => b.op('Add', [x, y], {}, { name }),
      weighted: () => b.op('MatMul', [x, b.initializer(`${name}.w`, denseOf('float32', [1, 1], [i]))], {}, { name }),
      if: () => b.op('If', [values[0]!], { then_branch: attribute.graph(branch(`${name}t`)), else_branch: attribute.graph(branch(`${name}e`)) }, { name }),
    };
    const branch = (path: string): Graph => {
      const graph = new Graph(path);
      const g = new GraphBuilder(graph);
      g.output(inner.length > 0 ? grow(g, values, inner, `${path}.`) : g.op('Neg', [x], {}, { name: `${path}.only` }), `${path}.result`);
      return graph;
    };
    values.push(make[kind]());
  });
  return values.at(-1)!;
}

function modelOf(plan: readonly Step[]): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  b.output(grow(b, [b.input('x', tensorType('float32', [1, 1]))], plan, 'n'), 'y');
  return model;
}

const models = steps.map(modelOf);

describe('random graphs', () => {
  test('are sound, and so are their copies, which share no node or value', () => {
    fc.assert(fc.property(models, (model) => {
      expect(check(model)).toEqual([]);
      const copy = cloneModel(model);
      expect(check(copy)).toEqual([]);
      expect(print(copy)).toBe(print(model));
      const nodes = new Set(allNodes(model.graph));
      const values = new Set([...nodes].flatMap((node) => [...node.inputs, ...node.outputs]));
      for (const node of allNodes(copy.graph)) {
        expect(nodes.has(node)).toBe(false);
        for (const value of [...node.inputs, ...node.outputs]) expect(values.has(value)).toBe(false);
      }
    }));
  });

  test('blocks are consecutive, read only what stands before, and give what is read later', () => {
    fc.assert(fc.property(models, (model) => {
      const parts = blocks(model);
      expect(parts.flatMap(({ nodes }) => [...nodes])).toEqual([...model.graph.nodes()]);
      const known = new Set<Value>(model.graph.inputs);
      for (const part of parts) {
        for (const value of part.inputs) expect(known.has(value)).toBe(true);
        for (const value of part.outputs) known.add(value);
      }
      for (const output of model.graph.outputs) expect(known.has(output)).toBe(true);
    }));
  });

  test('captured values are those of outer graphs', () => {
    fc.assert(fc.property(models, (model) => {
      expect(capturedValues(model.graph).size).toBe(0);
      for (const node of model.graph.nodes()) {
        for (const inner of node.subgraphs()) {
          for (const value of capturedValues(inner)) expect(value.producer === undefined || value.producer.graph === model.graph).toBe(true);
        }
      }
    }));
  });

  test('replacing a value everywhere leaves no use behind', () => {
    fc.assert(fc.property(models, fc.nat(), (model, at) => {
      const nodes = [...model.graph.nodes()];
      const node = nodes[at % nodes.length]!;
      const old = node.output();
      model.graph.replaceValue(old, model.graph.inputs[0]!);
      expect(old.useCount).toBe(0);
      if ([...allGraphs(model.graph)].every((graph) => !graph.outputs.includes(old))) {
        model.graph.remove(node);
        expect(check(model)).toEqual([]);
      }
    }));
  });

  test('claimed names are free in every graph', () => {
    fc.assert(fc.property(models, fc.nat(), (model, at) => {
      const taken = [...modelGraphs(model)].flatMap((graph) => [...graph.initializers.keys(), ...[...graph.nodes()].flatMap((node) => [node.name, node.output().name])]);
      const names = new Names(modelGraphs(model));
      const base = taken[at % taken.length]!;
      expect(names.has(base)).toBe(true);
      const claimed = names.claim(base);
      expect(taken).not.toContain(claimed);
      expect(names.claim(base)).not.toBe(claimed);
    }));
  });
});
