/** Scaled dot-product attention in its composite and its kernel forms. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';

export interface AttentionOptions {
  readonly mask: Value | null;
  readonly causal: boolean;
  readonly scale: number | null;
  /** Fewer heads of keys and values than of queries. */
  readonly grouped: boolean;
}

/** Query i sees keys 0…i: (L, S), aligned at the first of both, as PyTorch has it. */
function causalMask(c: AtenContext, query: Value, key: Value): Value {
  const [rows, columns] = [c.size(query, -2), c.size(key, -2)];
  const range = (size: number | { readonly value: Value }): Value => {
    if (typeof size === 'number') return c.builder.constant('int64', Array.from({ length: c.count(size) }, (_, i) => i));
    return c.op('Range', [c.int64(0), c.squeeze(size.value, [0]), c.int64(1)]);
  };
  return c.op('LessOrEqual', [c.unsqueeze(range(columns), [0]), c.unsqueeze(range(rows), [1])]);
}

/** (batch, kv heads, seq, size) to (batch, heads, seq, size), each head repeated in place. */
function repeatHeads(c: AtenContext, x: Value, query: Value): Value {
  const sizes = c.sizes(x);
  const [heads, groups] = [c.size(query, -3), sizes.at(-3)!];
  if (typeof heads !== 'number' || typeof groups !== 'number') throw c.unsupported('numbers of heads that are not known');
  if (heads === groups) return x;
  const at = sizes.length - 2;
  const spread = c.expand(c.unsqueeze(x, [at]), [...sizes.slice(0, at), heads / groups, ...sizes.slice(at)]);
  return c.reshape(spread, [...sizes.slice(0, at - 1), heads, ...sizes.slice(at)]);
}

/** softmax(scale · q kᵀ + mask) v. A row whose keys are all masked gives 0 (`_safe_softmax`). */
export function attention(c: AtenContext, query: Value, keys: Value, values: Value, options: AttentionOptions): Value {
  return attentionParts(c, query, keys, values, options).output;
}

/** The same, with the weights (batch, heads, L, S) that each key has for each query. */
export function attentionParts(c: AtenContext, query: Value, keys: Value, values: Value, options: AttentionOptions): { readonly output: Value; readonly weights: Value } {
  const dtype = c.dtype(query);
  const [key, value] = options.grouped ? [repeatHeads(c, keys, query), repeatHeads(c, values, query)] : [keys, values];
  const width = c.size(query, -1);
  let scores = c.op('MatMul', [query, c.swap(key, -1, -2)]);
  if (options.scale !== null || typeof width === 'number') {
    scores = c.op('Mul', [scores, c.constant(dtype, options.scale ?? 1 / Math.sqrt(width as number))]);
  } else scores = c.op('Div', [scores, c.op('Sqrt', [c.scalarOf(width, dtype)])]);
  const hidden = c.constant(dtype, -Infinity);
  if (options.causal) scores = c.op('Where', [causalMask(c, query, key), scores, hidden]);
  const { mask } = options;
  if (mask) scores = c.dtype(mask) === 'bool' ? c.op('Where', [mask, scores, hidden]) : c.op('Add', [scores, c.cast(mask, dtype)]);
  let weights = c.op('Softmax', [scores], { axis: -1 });
  if (mask) weights = c.op('Where', [c.op('IsNaN', [weights]), c.constant(dtype, 0), weights]);
  return { output: c.op('MatMul', [weights, value]), weights };
}

function noDropout(c: AtenContext, p: number): void {
  if (p !== 0) throw c.unsupported(`dropout of ${p} inside attention`, 'The model was exported in train() mode; call model.eval() before the export.');
}

export const attentions = [
  row('scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False)',
    (c, { query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa }) => {
      noDropout(c, dropout_p);
      return attention(c, query, key, value, { mask: attn_mask, causal: is_causal, scale, grouped: enable_gqa });
    }),
  row('_scaled_dot_product_flash_attention_for_cpu(Tensor query, Tensor key, Tensor value, float dropout_p=0.0, bool is_causal=False, *, Tensor? attn_mask=None, float? scale=None)',
    (c, { query, key, value, dropout_p, is_causal, attn_mask, scale }) => {
      noDropout(c, dropout_p);
      return [attention(c, query, key, value, { mask: attn_mask, causal: is_causal, scale, grouped: false }), null];
    }),
  row('_scaled_dot_product_attention_math(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, Tensor? dropout_mask=None, *, float? scale=None, bool enable_gqa=False)',
    (c, { query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa }) => {
      noDropout(c, dropout_p);
      return [attention(c, query, key, value, { mask: attn_mask, causal: is_causal, scale, grouped: enable_gqa }), null];
    }),
];
