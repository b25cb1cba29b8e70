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
  /** Key heads of each layer; one layer of 2 when absent. */
  readonly kvHeads?: readonly number[];
  /** Everything in float16. */
  readonly half?: boolean;
  /** Pair i turns by base^(-i / pairs) at each place; 100 when absent. */
  readonly base?: number;
  /** Added to the keys of each head before they are rotated, by channel. */
  readonly keyBias?: Readonly<Record<number, number>>;
}

/** Layers of 4 heads of 32 that share 2 keys. */
export function packedDecoder({ interleaved = 0, window = -1, softcap = 0, pairs = 16, alibi = false, words = 12, places = 64, kvHeads: layers = [2], half = false, base = 100, keyBias = {} }: PackedOptions = {}): Model {
  const [heads, size, dtype] = [4, 32, half ? 'float16' as const : 'float32' as const];
  const model = new Model();
  model.opsetImports.set('', 17).set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(3);
  const tensor = (name: string, shape: readonly number[], of: (i: number) => number): Value => {
    const numbers = b.initializer(name, denseOf('float32', shape, Array.from({ length: elementCount(shape) }, (_, i) => of(i))));
    return half ? b.op('Cast', [numbers], { to: 10 }) : numbers;
  };
  const weight = (name: string, shape: readonly number[], scale = 0.4): Value => tensor(name, shape, () => scale * rng.normal());
  const ids = b.input('input_ids', tensorType('int64', ['batch_size', 'sequence_length']));
  const mask = b.input('attention_mask', tensorType('int64', ['batch_size', 'total_sequence_length']));
  const pasts = layers.map((kvHeads, layer) => ['key', 'value'].map((kind) => b.input(`past_key_values.${layer}.${kind}`, tensorType(dtype, ['batch_size', kvHeads, 'past_sequence_length', size]))));
  const int32 = (x: Value): Value => b.op('Cast', [x], { to: 6 });
  const lengths = int32(b.op('Sub', [b.op('ReduceSum', [mask, b.constant('int64', [1])], { keepdims: 0 }), b.constant('int64', 1)]));
  const total = int32(b.op('Squeeze', [b.op('Shape', [mask], { start: 1, end: 2 })]));
  const table = (name: string, of: (x: number) => number): Value => tensor(name, [places, pairs], (i) => of(Math.floor(i / pairs) / base ** ((i % pairs) / pairs)));
  const [cos, sin] = [table('cos', Math.cos), table('sin', Math.sin)];
  const bias = alibi ? b.op('Unsqueeze', [b.op('Neg', [b.op('CumSum', [b.op('Cast', [mask], { to: 1 }), b.constant('int64', 1)])]), b.constant('int64', [1, 2])]) : undefined;
  const presents: [Value, string][] = [];
  let x = b.op('Gather', [weight('words', [words, 32]), ids]);
  layers.forEach((kvHeads, layer) => {
    const name = (what: string): string => (layer === 0 ? what : `${layer}.${what}`);
    const width = (heads + 2 * kvHeads) * size;
    const product = b.op('MatMul', [x, weight(name('qkv'), [32, width])]);
    const isKey = (i: number): boolean => i >= heads * size && i < (heads + kvHeads) * size;
    const packed = Object.keys(keyBias).length === 0 ? product : b.op('Add', [product, tensor(name('key_bias'), [width], (i) => (isKey(i) ? (keyBias[i % size] ?? 0) : 0))]);
    const [mixed, key, value] = b.nodes('GroupQueryAttention', [packed, null, null, ...pasts[layer]!, lengths, total, cos, sin, null, bias], {
      num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1, rotary_interleaved: interleaved, ...(window > 0 && { local_window_size: window }), ...(softcap > 0 && { softcap: attribute.float(softcap) }),
    }, { domain: 'com.microsoft', outputCount: 3 });
    presents.push([key!, `present.${layer}.key`], [value!, `present.${layer}.value`]);
    x = layer === layers.length - 1 ? mixed! : b.op('Add', [x, b.op('MatMul', [mixed, weight(name('out'), [heads * size, 32], 0.05)])]);
  });
  b.output(b.op('MatMul', [x, weight('head', [heads * size, words])]), 'logits', tensorType(dtype, ['batch_size', 'sequence_length', words]));
  presents.forEach(([value, name], i) => b.output(value, name, tensorType(dtype, ['batch_size', layers[Math.floor(i / 2)]!, 'total_sequence_length', size])));
  return model;
}
