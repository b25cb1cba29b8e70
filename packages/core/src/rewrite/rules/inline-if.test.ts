import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../builder.js';
import { attribute } from '../../graph/attribute.js';
import { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { floats, rewriteBoth } from '../testing.js';

const options = { only: ['inline-if', 'dead'] };

function branch(name: string, make: (b: GraphBuilder) => readonly Value[]): Graph {
  const graph = new Graph(name);
  const b = new GraphBuilder(graph);
  make(b).forEach((value, i) => b.output(value, value.producer ? `${name}_${i}` : value.name));
  return graph;
}

describe('inline-if', () => {
  for (const chosen of [1, 0]) {
    it(`takes the ${chosen ? 'then' : 'else'} branch, with its weights and what it captures`, async () => {
      const { ops, branch: inner } = await rewriteBoth({
        options,
        build: (b, input) => {
          const x = b.op('Abs', [input('x', floats(2, 3))]);
          const then = branch('yes', (t) => [t.op('Mul', [x, t.constant('float32', 3)]), t.constant('float32', [7, 8])]);
          const other = branch('no', (t) => [t.op('Sub', [t.op('Add', [x, t.constant('float32', 5)]), x]), t.constant('float32', [9, 9])]);
          return b.nodes('If', [b.constant('bool', chosen)], { then_branch: attribute.graph(then), else_branch: attribute.graph(other) }, { outputCount: 2 });
        },
      });
      const expected = chosen ? ['Abs', 'Mul', 'Identity'] : ['Abs', 'Add', 'Sub', 'Identity'];
      expect(ops).toEqual(expected);
      expect(inner).toEqual(expected);
    });
  }
});
