/** A decoder with random weights in the layout of Optimum: small enough for tests, with everything a real one has. */
import { DenseTensor, GraphBuilder, Model, createRng, tensorType, type Value } from '@penjing/core';

export interface TinyDecoderOptions {
  readonly vocabSize?: number;
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly context?: number;
  readonly seed?: number;
  /** False leaves out the key/value cache: the model then reads the whole sequence at every step. */
  readonly cache?: boolean;
  /** The cache and the logits are float16, as in the q4f16 files of transformers.js. */
  readonly half?: boolean;
  /** Scale of noise on the weights: a model like this one, but worse. */
  readonly noise?: number;
}

/** Inputs input_ids, attention_mask, position_ids, past_key_values.N.key/value; outputs logits, present.N.key/value. */
export function tinyDecoder(options: TinyDecoderOptions = {}): Model {
  const { vocabSize = 32, layers = 2, heads = 2, headDim = 8, context = 64, seed = 1, cache = true, half = false, noise = 0 } = options;
  const width = heads * headDim;
  const rng = createRng(seed);
  const spoil = createRng(seed + 1);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number): Value =>
    b.initializer(name, DenseTensor.of('float32', [rows, cols], Float32Array.from({ length: rows * cols }, () => rng.normal() * 0.4 + spoil.normal() * noise)));
  const sequence = tensorType('int64', ['batch_size', 'sequence_length']);
  const ids = b.input('input_ids', sequence);
  const mask = b.input('attention_mask', tensorType('int64', ['batch_size', 'total_sequence_length']));
  const positions = b.input('position_ids', sequence);
  const border = half ? 'float16' : 'float32';
  const cast = (value: Value, to: number): Value => (half ? b.op('Cast', [value], { to }) : value);
  const [FLOAT, HALF] = [1, 10];
  const ints = (...values: number[]): Value => b.constant('int64', values);

  // Position of each key (total), and whether each query may see it: (batch, 1, sequence, total).
  const total = b.op('Gather', [b.op('Shape', [mask]), b.constant('int64', 1)], { axis: 0 });
  const keys = b.op('Range', [b.constant('int64', 0), total, b.constant('int64', 1)]);
  const future = b.op('Greater', [keys, b.op('Unsqueeze', [positions, ints(1, 3)])]);
  const padded = b.op('Equal', [b.op('Unsqueeze', [mask, ints(1, 2)]), b.constant('int64', 0)]);
  const bias = b.op('Where', [b.op('Or', [future, padded]), b.constant('float32', -1e9), b.constant('float32', 0)]);

  const embedding = weight('embedding', vocabSize, width);
  let x = b.op('Add', [b.op('Gather', [embedding, ids]), b.op('Gather', [weight('positions', context, width), positions])]);
  const presents: [Value, string][] = [];
  for (let layer = 0; layer < layers; layer++) {
    const head = (name: string): Value => {
      const flat = b.op('MatMul', [x, weight(`${layer}.${name}`, width, width)]);
      return b.op('Transpose', [b.op('Reshape', [flat, ints(0, 0, heads, headDim)])], { perm: [0, 2, 1, 3] });
    };
    const withPast = (value: Value, name: string): Value => {
      if (!cache) return value;
      const type = tensorType(border, ['batch_size', heads, 'past_sequence_length', headDim]);
      const all = b.op('Concat', [b.input(`past_key_values.${layer}.${name}`, type), cast(value, HALF)], { axis: 2 });
      presents.push([all, `present.${layer}.${name}`]);
      return cast(all, FLOAT);
    };
    const query = head('query');
    const key = withPast(head('key'), 'key');
    const value = withPast(head('value'), 'value');
    const scores = b.op('MatMul', [query, b.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
    const scaled = b.op('Mul', [scores, b.constant('float32', 1 / Math.sqrt(headDim))]);
    const attended = b.op('MatMul', [b.op('Softmax', [b.op('Add', [scaled, bias])], { axis: -1 }), value]);
    const joined = b.op('Reshape', [b.op('Transpose', [attended], { perm: [0, 2, 1, 3] }), ints(0, 0, width)]);
    x = b.op('Add', [x, b.op('MatMul', [joined, weight(`${layer}.output`, width, width)])]);
  }
  b.output(cast(b.op('MatMul', [x, weight('head', width, vocabSize)]), HALF), 'logits', tensorType(border, ['batch_size', 'sequence_length', vocabSize]));
  for (const [value, name] of presents) {
    b.output(value, name, tensorType(border, ['batch_size', heads, 'total_sequence_length', headDim]));
  }
  return model;
}
