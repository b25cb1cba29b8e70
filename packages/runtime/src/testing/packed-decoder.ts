/** A decoder that attends by one GroupQueryAttention with everything inside, as the files of transformers.js do. */
import { attribute, createRng, denseOf, elementCount, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';

export interface PackedOptions {
  readonly interleaved?: number;
  readonly window?: number;
  readonly softcap?: number;
  /** Of numbers that are rotated; all 16 pairs when absent. */
  readonly pairs?: number;
  readonly alibi?: boolean;
  /** 12 when absent. */
  readonly words?: number;
  /** Most tokens of a text; 64 when absent. */
  readonly places?: number;
}

/** One layer, 4 heads of 32 that share 2 keys. */
export function packedDecoder({ interleaved = 0, window = -1, softcap = 0, pairs = 16, alibi = false, words = 12, places = 64 }: PackedOptions = {}): Model {
  const [heads, kvHeads, size] = [4, 2, 32];
  const model = new Model();
  model.opsetImports.set('', 17).set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(3);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, denseOf('float32', shape, Array.from({ length: elementCount(shape) }, () => 0.4 * rng.normal())));
  const ids = b.input('input_ids', tensorType('int64', ['batch_size', 'sequence_length']));
  const mask = b.input('attention_mask', tensorType('int64', ['batch_size', 'total_sequence_length']));
  const past = ['key', 'value'].map((kind) => b.input(`past_key_values.0.${kind}`, tensorType('float32', ['batch_size', kvHeads, 'past_sequence_length', size])));
  const int32 = (x: Value): Value => b.op('Cast', [x], { to: 6 });
  const lengths = int32(b.op('Sub', [b.op('ReduceSum', [mask, b.constant('int64', [1])], { keepdims: 0 }), b.constant('int64', 1)]));
  const total = int32(b.op('Squeeze', [b.op('Shape', [mask], { start: 1, end: 2 })]));
  const table = (name: string, of: (x: number) => number): Value => b.initializer(name, denseOf('float32', [places, pairs], Array.from({ length: places * pairs }, (_, i) => of(Math.floor(i / pairs) / 100 ** ((i % pairs) / pairs)))));
  const x = b.op('MatMul', [b.op('Gather', [weight('words', words, 32), ids]), weight('qkv', 32, (heads + 2 * kvHeads) * size)]);
  const bias = alibi ? b.op('Unsqueeze', [b.op('Neg', [b.op('CumSum', [b.op('Cast', [mask], { to: 1 }), b.constant('int64', 1)])]), b.constant('int64', [1, 2])]) : undefined;
  const [mixed, key, value] = b.nodes('GroupQueryAttention', [x, null, null, ...past, lengths, total, table('cos', Math.cos), table('sin', Math.sin), null, bias], {
    num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1, rotary_interleaved: interleaved, ...(window > 0 && { local_window_size: window }), ...(softcap > 0 && { softcap: attribute.float(softcap) }),
  }, { domain: 'com.microsoft', outputCount: 3 });
  b.output(b.op('MatMul', [mixed, weight('head', heads * size, words)]), 'logits', tensorType('float32', ['batch_size', 'sequence_length', words]));
  const present = tensorType('float32', ['batch_size', kvHeads, 'total_sequence_length', size]);
  b.output(key!, 'present.0.key', present);
  b.output(value!, 'present.0.value', present);
  return model;
}
