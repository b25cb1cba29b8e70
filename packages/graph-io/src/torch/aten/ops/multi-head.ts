/** Attention of several heads with its projections, and a whole encoder layer: what torch.nn computes in one step when nothing is trained. */
import { lazy, type Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import type { SymInt } from '../values.js';
import { gelu } from './activation.js';
import { attentionParts } from './attention.js';
import { linear } from './linalg.js';
import { layerNorm } from './norm.js';
import { reduce } from './reduce.js';

export interface Projection {
  /** [out, in] */
  readonly weight: Value;
  readonly bias: Value | null;
}

export interface MultiHead {
  readonly heads: number;
  /** One of [3 · width, width] for all three, or one for each. */
  readonly input: Projection | readonly [query: Projection, key: Projection, value: Projection];
  readonly output: Projection;
  /** Added to the scores: [batch or 1, heads or 1, L or 1, S]. Or boolean, true where a key may be seen. */
  readonly mask: Value | null;
  /** One more key and value behind all others, [1, 1, width] each. */
  readonly more?: readonly [key: Value, value: Value];
  /** A key and value of zeros behind all others. */
  readonly zero?: boolean;
  readonly causal?: boolean;
}

/**
 * Query [batch, L, width], key and value [batch, S, width]: the result [batch, L, width], and the weights
 * [batch, heads, L, S]. "Attention is all you need", section 3.2.2.
 */
export function multiHead(c: AtenContext, query: Value, key: Value, value: Value, options: MultiHead): { readonly output: Value; readonly weights: Value } {
  const { heads, mask, more, zero = false } = options;
  let [q, k, v] = projected(c, [query, key, value], options.input);
  if (more) [k, v] = [k, v].map((part, i) => c.concat([part, spread(c, part, more[i]!)], 1)) as [Value, Value];
  const split = (part: Value): Value => {
    const [batch, length, width] = c.sizes(part) as [SymInt, SymInt, number];
    return c.transpose(c.reshape(part, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
  };
  [q, k, v] = [split(q), split(k), split(v)];
  if (zero) [k, v] = [k, v].map((part) => c.concat([part, zeros(c, part)], 2)) as [Value, Value];
  const { output, weights } = attentionParts(c, q, k, v, { mask, causal: options.causal ?? false, scale: null, grouped: false });
  const [batch, , length, size] = c.sizes(output) as [SymInt, number, SymInt, number];
  const joined = c.reshape(c.transpose(output, [0, 2, 1, 3]), [batch, length, heads * size]);
  return { output: linear(c, joined, options.output.weight, options.output.bias), weights };
}

function projected(c: AtenContext, parts: readonly [Value, Value, Value], input: MultiHead['input']): [Value, Value, Value] {
  if (isEach(input)) return parts.map((part, i) => linear(c, part, input[i]!.weight, input[i]!.bias)) as [Value, Value, Value];
  const [query, key, value] = parts;
  const width = (c.dims(input.weight)[0] as number) / 3;
  if (query === key && key === value) {
    const all = linear(c, query, input.weight, input.bias);
    return [0, 1, 2].map((i) => c.slice(all, 2, i * width, (i + 1) * width)) as [Value, Value, Value];
  }
  return parts.map((part, i) => linear(c, part, third(c, input.weight, i, width), input.bias && third(c, input.bias, i, width))) as [Value, Value, Value];
}

const isEach = (input: MultiHead['input']): input is readonly [Projection, Projection, Projection] => Array.isArray(input);

/** Rows of one of the three projections that are stored as one. */
function third(c: AtenContext, value: Value, i: number, width: number): Value {
  const [, ...rest] = c.dims(value) as number[];
  const name = ['query', 'key', 'value'][i]!;
  return c.weight(value, name, (tensor) => lazy.slice(tensor, [i * width, ...rest.map(() => 0)], [width, ...rest]), (computed) => c.slice(computed, 0, i * width, (i + 1) * width));
}

/** [1, 1, width] for each of a batch. */
const spread = (c: AtenContext, part: Value, one: Value): Value => c.expand(one, [c.size(part, 0), 1, c.size(part, 2)]);

function zeros(c: AtenContext, part: Value): Value {
  const [batch, heads, , size] = c.sizes(part) as [SymInt, number, SymInt, number];
  return c.op('Expand', [c.constant(c.dtype(part), 0), c.vector([batch, heads, 1, size])]);
}

/** True where a key may be seen, out of one that is true where it may not: [L, S], [batch, S], or whole. */
export function seen(c: AtenContext, mask: Value | null, kind: number | null): Value | null {
  if (!mask) return null;
  const whole = kind === 1 ? c.unsqueeze(mask, [1, 2]) : mask;
  return c.dtype(whole) === 'bool' ? c.op('Not', [whole]) : whole;
}

export const multiHeads = [
  row('_native_multi_head_attention(Tensor query, Tensor key, Tensor value, int embed_dim, int num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor? mask=None, bool need_weights=True, bool average_attn_weights=True, int? mask_type=None)',
    (c, { query, key, value, num_head, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, need_weights, average_attn_weights, mask_type }) => {
      const { output, weights } = multiHead(c, query, key, value, {
        heads: num_head, input: { weight: qkv_weight, bias: qkv_bias }, output: { weight: proj_weight, bias: proj_bias }, mask: seen(c, mask, mask_type),
      });
      if (!need_weights) return [output, null];
      return [output, average_attn_weights ? reduce(c, 'ReduceMean', weights, [1], false) : weights];
    }),
  row('_transformer_encoder_layer_fwd(Tensor src, int embed_dim, int num_heads, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, bool use_gelu, bool norm_first, float eps, Tensor norm_weight_1, Tensor norm_bias_1, Tensor norm_weight_2, Tensor norm_bias_2, Tensor ffn_weight_1, Tensor ffn_bias_1, Tensor ffn_weight_2, Tensor ffn_bias_2, Tensor? mask=None, int? mask_type=None)',
    (c, a) => {
      const norm = (x: Value, weight: Value, bias: Value): Value => layerNorm(c, x, [a.embed_dim], weight, bias, a.eps)[0]!;
      const attend = (x: Value): Value => multiHead(c, x, x, x, {
        heads: a.num_heads, input: { weight: a.qkv_weight, bias: a.qkv_bias }, output: { weight: a.proj_weight, bias: a.proj_bias }, mask: seen(c, a.mask, a.mask_type),
      }).output;
      const feed = (x: Value): Value => {
        const wide = linear(c, x, a.ffn_weight_1, a.ffn_bias_1);
        return linear(c, a.use_gelu ? gelu(c, wide, 'none') : c.op('Relu', [wide]), a.ffn_weight_2, a.ffn_bias_2);
      };
      const add = (x: Value, y: Value): Value => c.op('Add', [x, y]);
      if (a.norm_first) {
        const x = add(a.src, attend(norm(a.src, a.norm_weight_1, a.norm_bias_1)));
        return add(x, feed(norm(x, a.norm_weight_2, a.norm_bias_2)));
      }
      const x = norm(add(a.src, attend(a.src)), a.norm_weight_1, a.norm_bias_1);
      return norm(add(x, feed(x)), a.norm_weight_2, a.norm_bias_2);
    }),
];
