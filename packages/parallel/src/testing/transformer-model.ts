/** A GPT of any size without a byte of weights in memory; for tests of forecasts. */
import { GraphBuilder, lazy, Model, tensorType, type DType, type Value } from '@penjing/core';

export interface TransformerOptions {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly vocabulary: number;
  readonly dtype?: DType;
}

/** Pre-norm decoder as in GPT-2; ids: (batch, sequence), logits: (batch, sequence, vocabulary). */
export function transformerModel({ hidden, layers, heads, vocabulary, dtype = 'float16' }: TransformerOptions): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, lazy.fill(dtype, shape, 0));
  const norm = (x: Value, name: string): Value => b.op('LayerNormalization', [x, weight(`${name}.gamma`, hidden), weight(`${name}.beta`, hidden)]);
  const split = (x: Value): Value => b.op('Transpose', [b.op('Reshape', [x, b.constant('int64', [0, 0, heads, hidden / heads])])], { perm: [0, 2, 1, 3] });
  const ids = b.input('ids', tensorType('int64', ['batch', 'sequence']));
  let x = b.op('Gather', [weight('embed', vocabulary, hidden), ids]);
  for (let i = 0; i < layers; i++) {
    const name = `layer.${i}`;
    const normed = norm(x, `${name}.1`);
    const [q, k, v] = ['q', 'k', 'v'].map((each) => split(b.op('MatMul', [normed, weight(`${name}.${each}`, hidden, hidden)])));
    const scores = b.op('Softmax', [b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })])]);
    const mixed = b.op('Reshape', [b.op('Transpose', [b.op('MatMul', [scores, v])], { perm: [0, 2, 1, 3] }), b.constant('int64', [0, 0, hidden])]);
    x = b.op('Add', [x, b.op('MatMul', [mixed, weight(`${name}.o`, hidden, hidden)])]);
    const inner = b.op('Gelu', [b.op('MatMul', [norm(x, `${name}.2`), weight(`${name}.up`, hidden, 4 * hidden)])]);
    x = b.op('Add', [x, b.op('MatMul', [inner, weight(`${name}.down`, 4 * hidden, hidden)])]);
  }
  b.output(b.op('MatMul', [norm(x, 'last'), weight('head', hidden, vocabulary)]), 'logits');
  return model;
}
