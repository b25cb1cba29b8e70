/** Encoders that classify short texts, with random weights: teachers and students of `distill-intents.ts`. */
import { createRng, denseOf, elementCount, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';

export interface EncoderOptions {
  readonly seed: number;
  readonly words: number;
  /** Longest text, in words. */
  readonly length: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly hidden: number;
  readonly classes: number;
}

/**
 * words (n, length), 0 where a text has ended → logits (n, classes). Layers normalize before they attend (Xiong et al. 2020, arXiv:2002.04745); the mean of what stands at the words is
 * what is classified.
 */
export function textEncoder({ seed, words, length, width, heads, layers, hidden, classes }: EncoderOptions): Model {
  const model = new Model();
  model.opsetImports.set('', 18);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(seed);
  const filled = (name: string, shape: readonly number[], value: () => number): Value => b.initializer(name, denseOf('float32', shape, Array.from({ length: elementCount(shape) }, value)));
  const linear = (x: Value, name: string, from: number, to: number): Value =>
    b.op('Add', [b.op('MatMul', [x, filled(`${name}.weight`, [from, to], () => rng.normal() / Math.sqrt(from))]), filled(`${name}.bias`, [to], () => 0)]);
  const norm = (x: Value, name: string): Value => b.op('LayerNormalization', [x, filled(`${name}.weight`, [width], () => 1), filled(`${name}.bias`, [width], () => 0)], { axis: -1 });
  const ints = (...values: number[]): Value => b.constant('int64', values);

  const ids = b.input('words', tensorType('int64', ['n', length]));
  const there = b.op('Cast', [b.op('Greater', [ids, b.constant('int64', 0)])], { to: 1 }); // (n, length)
  // (n, 1, 1, length): far below every score where there is no word
  const mask = b.op('Mul', [b.op('Sub', [b.op('Unsqueeze', [there, ints(1, 2)]), b.constant('float32', 1)]), b.constant('float32', 1e4)]);
  let h = b.op('Add', [b.op('Gather', [filled('words.weight', [words, width], () => 0.1 * rng.normal()), ids]), filled('places.weight', [length, width], () => 0.02 * rng.normal())]);
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `layers.${layer}.${part}`;
    const x = norm(h, name('attention_norm'));
    const split = (part: string, perm: readonly number[]): Value => b.op('Transpose', [b.op('Reshape', [linear(x, name(part), width, width), ints(0, length, heads, width / heads)])], { perm });
    const scores = b.op('Mul', [b.op('MatMul', [split('query', [0, 2, 1, 3]), split('key', [0, 2, 3, 1])]), b.constant('float32', 1 / Math.sqrt(width / heads))]);
    const attended = b.op('MatMul', [b.op('Softmax', [b.op('Add', [scores, mask])], { axis: -1 }), split('value', [0, 2, 1, 3])]); // (n, heads, length, head)
    h = b.op('Add', [h, linear(b.op('Reshape', [b.op('Transpose', [attended], { perm: [0, 2, 1, 3] }), ints(0, length, width)]), name('output'), width, width)]);
    const inner = b.op('Relu', [linear(norm(h, name('forward_norm')), name('up'), width, hidden)]);
    h = b.op('Add', [h, linear(inner, name('down'), hidden, width)]);
  }
  const weights = b.op('Unsqueeze', [there, ints(2)]);
  const mean = b.op('Div', [b.op('ReduceSum', [b.op('Mul', [norm(h, 'norm'), weights]), ints(1)], { keepdims: 0 }), b.op('ReduceSum', [weights, ints(1)], { keepdims: 0 })]);
  b.output(linear(mean, 'classifier', width, classes), 'logits', tensorType('float32', ['n', classes]));
  return model;
}
