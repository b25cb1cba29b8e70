/** Which sums are mixtures of experts, and which only look like them. */
import { GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { mixtureModel } from '../testing/mixture-model.js';
import { shardModel } from './shard-model.js';
import { countExperts } from './whole-experts.js';

interface Builder {
  readonly b: GraphBuilder;
  readonly weight: (name: string, ...shape: number[]) => Value;
}

function made(build: (builder: Builder) => Value): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  b.output(build({ b, weight: (name, ...shape) => b.initializer(name, lazy.fill('float32', shape, 0.01)) }), 'y');
  return model;
}

const layer = ({ b, weight }: Builder, x: Value, name: string): Value => b.op('MatMul', [b.op('Relu', [b.op('MatMul', [x, weight(`${name}.up`, 64, 64)])]), weight(`${name}.down`, 64, 64)]);
const sum = ({ b }: Builder, terms: readonly Value[]): Value => terms.reduce((all, term) => b.op('Add', [all, term]));
const shares = ({ b, weight }: Builder, x: Value, name: string): Value => {
  const [best, chosen] = b.nodes('TopK', [b.op('MatMul', [x, weight(name, 64, 3)]), b.constant('int64', [2])], { axis: -1 }, { outputCount: 2 });
  return b.op('ScatterElements', [b.op('Mul', [b.op('MatMul', [x, weight(`${name}.zero`, 64, 3)]), b.constant('float32', 0)]), chosen!, b.op('Softmax', [best!])], { axis: -1 });
};
/** All experts compute all tokens, and each output is weighed by what the router gave it. */
const dense = (builder: Builder, x: Value, name: string): Value => {
  const given = shares(builder, x, `${name}.router`);
  return sum(builder, [builder.b.op('Relu', [x]), ...[0, 1, 2].map((i) => builder.b.op('Mul', [layer(builder, x, `${name}.${i}`), builder.b.op('Gather', [given, builder.b.constant('int64', [i])], { axis: -1 })]))]);
};
const input = ({ b }: Builder): Value => b.input('x', tensorType('float32', ['tokens', 64]));

describe('mixtures', () => {
  test('terms that are added to the rows that chose them', () => {
    expect(countExperts(mixtureModel({ experts: 5, layers: 2 }))).toEqual([5, 5]);
  });

  test('terms that a router weighs, one mixture after the other', () => {
    const model = made((builder) => dense(builder, dense(builder, input(builder), 'a'), 'b'));
    expect(countExperts(model)).toEqual([3, 3]);
    expect(shardModel(model, { shards: 3, experts: 'only' }).layers.map(({ weights }) => weights.length)).toEqual([6, 6]);
  });
});

describe('no mixtures', () => {
  const embeddings = made(({ b, weight }) => {
    const looked = ['words', 'positions', 'types'].map((name) => b.op('Gather', [weight(name, 300, 64), b.input(`${name}_ids`, tensorType('int64', ['batch', 'sequence']))]));
    return sum({ b, weight }, looked);
  });
  const parallel = made((builder) => {
    const x = input(builder);
    return sum(builder, [builder.b.op('Relu', [x]), ...['a', 'b', 'c'].map((name) => layer(builder, x, name))]);
  });
  const afterMixture = made((builder) => {
    const x = dense(builder, input(builder), 'mixture');
    return builder.b.op('Tanh', [sum(builder, [builder.b.op('Relu', [x]), ...['a', 'b', 'c'].map((name) => layer(builder, x, name))])]);
  });
  const ofChosenRows = made((builder) => {
    const x = input(builder);
    const [, best] = builder.b.nodes('TopK', [builder.b.op('ReduceMax', [x, builder.b.constant('int64', [1])], { keepdims: 0 }), builder.b.constant('int64', [4])], {}, { outputCount: 2 });
    const rows = builder.b.op('Gather', [x, best!]);
    return sum(builder, ['a', 'b', 'c'].map((name) => layer(builder, rows, name)));
  });

  test.each([['embeddings', embeddings, []], ['parallel layers', parallel, []], ['parallel layers behind a mixture', afterMixture, [3]], ['layers of rows that were chosen', ofChosenRows, []]] as const)('%s', (_, model, counts) => {
    expect(countExperts(model)).toEqual(counts);
  });

  test('so there is nothing to give out', () => {
    expect(() => shardModel(parallel, { shards: 2, experts: 'only' })).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', message: 'the model has no mixture of experts' }));
  });
});
