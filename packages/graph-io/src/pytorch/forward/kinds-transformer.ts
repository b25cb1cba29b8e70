/** The attention and transformer classes of torch.nn, as their forwards compute in eval mode. */
import { PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, type AtenContext, callAten, isValue } from '../../torch/aten/index.js';
import { multiHead, type Projection } from '../../torch/aten/ops/multi-head.js';
import { type Kind, type ModuleCall, needed, option } from './module-call.js';
import type { ModuleNode } from './module-node.js';

/** An argument of a forward: by position or by name. */
function given(call: ModuleCall, at: number, name: string): AtenArgument {
  return call.inputs[at] ?? call.hints[name] ?? null;
}

function tensorOf(call: ModuleCall, at: number, name: string): Value | null {
  const value = given(call, at, name);
  if (value === null || isValue(value)) return value;
  throw new PenjingError('E_FORWARD', `${call.node.path || 'the model'} was given something as ${name} that is no tensor`);
}

/** What hides keys, added to the scores: booleans are true where a key is hidden. */
function hiding(c: AtenContext, mask: Value): Value {
  if (c.dtype(mask) !== 'bool') return mask;
  return c.op('Where', [mask, c.constant('float32', -Infinity), c.constant('float32', 0)]);
}

/** attn_mask [L, S] or [batch · heads, L, S], and key_padding_mask [batch, S]. */
function maskOf(c: AtenContext, heads: number, batch: Value, attention: Value | null, padding: Value | null): Value | null {
  const parts: Value[] = [];
  if (attention) {
    const mask = hiding(c, attention);
    const [, rows, columns] = c.rank(mask) === 3 ? c.sizes(mask) : [];
    parts.push(rows === undefined ? mask : c.reshape(mask, [c.size(batch, 0), heads, rows, columns!]));
  }
  if (padding) parts.push(c.unsqueeze(hiding(c, padding), [1, 2]));
  return parts.length === 0 ? null : parts.reduce((a, b) => c.op('Add', [a, b]));
}

/** Queries, keys and values in one matrix, or in three when their widths differ. */
function inputOf(call: ModuleCall): Projection | readonly [Projection, Projection, Projection] {
  const { c } = call;
  const bias = call.weight('in_proj_bias');
  const whole = call.weight('in_proj_weight');
  if (whole) return { weight: whole, bias };
  const parts = ['q', 'k', 'v'].map((letter, i): Projection => {
    const weight = needed(call, `${letter}_proj_weight`);
    const width = c.dims(weight)[0] as number;
    return { weight, bias: bias && c.slice(bias, 0, i * width, (i + 1) * width) };
  });
  return parts as unknown as readonly [Projection, Projection, Projection];
}

const multiHeadAttention: Kind = (call) => {
  const { c, node } = call;
  const heads = option(call, 'num_heads', null);
  if (typeof heads !== 'number') throw new PenjingError('E_FORWARD', `${node.path || 'the model'} is an attention of unknown heads`, { hint: `Say how many: ${node.path}(x, x, x, kind='MultiheadAttention', num_heads=8).` });
  const first = tensorOf(call, 0, 'query')!;
  const batched = c.rank(first) === 3;
  const batchFirst = option(call, 'batch_first', false) === true;
  const turned = new Map<Value, Value>();
  // The same tensor stays the same: one product instead of three.
  const turn = (x: Value): Value => {
    let known = turned.get(x);
    if (!known) turned.set(x, (known = !batched ? c.unsqueeze(x, [0]) : batchFirst ? x : c.swap(x, 0, 1)));
    return known;
  };
  const [query, key, value] = [first, tensorOf(call, 1, 'key') ?? first, tensorOf(call, 2, 'value') ?? tensorOf(call, 1, 'key') ?? first].map(turn) as [Value, Value, Value];
  const padding = tensorOf(call, 3, 'key_padding_mask');
  const output = node.children.get('out_proj');
  const weight = output && call.weightOf(output, 'weight');
  if (!weight) throw new PenjingError('E_WEIGHTS', `${node.path || 'the model'} has no out_proj.weight`);
  const more = node.tensors.has('bias_k') ? ([needed(call, 'bias_k'), needed(call, 'bias_v')] as const) : undefined;
  const zero = option(call, 'add_zero_attn', false) === true;
  let mask = maskOf(c, heads, query, tensorOf(call, 5, 'attn_mask'), padding && !batched ? c.unsqueeze(padding, [0]) : padding);
  // What is added behind the keys is always seen.
  if (mask && (more || zero)) mask = callAten(c, 'aten.constant_pad_nd', [mask, [0, Number(more !== undefined) + Number(zero)], 0]) as Value;
  const result = multiHead(c, query, key, value, { heads, input: inputOf(call), output: { weight, bias: call.weightOf(output, 'bias') }, mask, zero, ...(more && { more }) });
  const back = !batched ? c.squeeze(result.output, [0]) : batchFirst ? result.output : c.swap(result.output, 0, 1);
  if (given(call, 4, 'need_weights') === false) return [back, null];
  const weights = given(call, 6, 'average_attn_weights') === false ? result.weights : (callAten(c, 'aten.mean', [result.weights, [1]]) as Value);
  return [back, batched ? weights : c.squeeze(weights, [0])];
};

/** A module inside; its class need not be in the file. */
function inner(call: ModuleCall, name: string, kind: string, inputs: readonly AtenArgument[], hints: Readonly<Record<string, AtenArgument>> = {}): Value {
  const node = call.node.children.get(name);
  if (!node) throw new PenjingError('E_WEIGHTS', `${call.node.path || 'the model'} has no ${name}`, { hint: 'Is it another kind of module?' });
  const result = call.apply(node, inputs, { ...hints, ...(node.type === undefined && { kind }) });
  return (Array.isArray(result) ? result[0] : result) as Value;
}

/** `relu`, `gelu`, or another function of torch.nn.functional: objects hold it as a global, state dicts not at all. */
function activation(call: ModuleCall, x: Value): Value {
  const name = option(call, 'activation', null) ?? call.node.attribute('activation_relu_or_gelu') ?? 'relu';
  const own = call.node.children.get('activation');
  if (own) return call.apply(own, [x], {}) as Value;
  const target = typeof name === 'string' ? name.split('.').at(-1)! : name === 2 ? 'gelu' : 'relu';
  return callAten(call.c, `aten.${target}`, [x]) as Value;
}

interface Sublayer {
  /** The layer norm before or behind. */
  readonly norm: string;
  readonly run: (x: Value) => Value;
}

/** Each sublayer with its residual: norms behind (2017), or in front (norm_first). */
function residual(call: ModuleCall, x: Value, sublayers: readonly Sublayer[]): Value {
  const normed = (name: string, value: Value): Value => inner(call, name, 'LayerNorm', [value]);
  const first = option(call, 'norm_first', false) === true;
  return sublayers.reduce((value, { norm, run }) => (first ? call.c.op('Add', [value, run(normed(norm, value))]) : normed(norm, call.c.op('Add', [value, run(value)]))), x);
}

/** Heads and order of axes are attributes of the attention inside, where the file has it; otherwise those of the layer. */
const headHints = (call: ModuleCall): Record<string, AtenArgument> => Object.fromEntries(['num_heads', 'nhead', 'batch_first'].flatMap((name) => {
  const value = call.hints[name];
  return value === undefined ? [] : [[name === 'nhead' ? 'num_heads' : name, value]];
}));

function attend(call: ModuleCall, name: string, x: Value, memory: Value, mask: AtenArgument, padding: AtenArgument): Value {
  return inner(call, name, 'MultiheadAttention', [x, memory, memory, padding, false, mask], headHints(call));
}

const feed = (call: ModuleCall) => (x: Value): Value => inner(call, 'linear2', 'Linear', [activation(call, inner(call, 'linear1', 'Linear', [x]))]);

/** forward(src, src_mask, src_key_padding_mask). */
const encoderLayer: Kind = (call) => {
  const [mask, padding] = [given(call, 1, 'src_mask'), given(call, 2, 'src_key_padding_mask')];
  return residual(call, call.inputs[0] as Value, [
    { norm: 'norm1', run: (x) => attend(call, 'self_attn', x, x, mask, padding) }, { norm: 'norm2', run: feed(call) },
  ]);
};

/** forward(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask). */
const decoderLayer: Kind = (call) => {
  const memory = tensorOf(call, 1, 'memory')!;
  const [own, other, ownPadding, otherPadding] = ['tgt_mask', 'memory_mask', 'tgt_key_padding_mask', 'memory_key_padding_mask'].map((name, i) => given(call, i + 2, name)) as [AtenArgument, AtenArgument, AtenArgument, AtenArgument];
  return residual(call, call.inputs[0] as Value, [
    { norm: 'norm1', run: (x) => attend(call, 'self_attn', x, x, own, ownPadding) },
    { norm: 'norm2', run: (x) => attend(call, 'multihead_attn', x, memory, other, otherPadding) },
    { norm: 'norm3', run: feed(call) },
  ]);
};

/** Layers one after the other, each given the same masks and memory, and a norm at the end when there is one. */
const stack = (kind: string, masks: readonly string[]): Kind => (call) => {
  const layers: ModuleNode | undefined = call.node.children.get('layers');
  if (!layers) throw new PenjingError('E_WEIGHTS', `${call.node.path || 'the model'} has no layers`);
  const rest = masks.map((name, i) => given(call, i + 1, name));
  const hints = Object.fromEntries(['num_heads', 'nhead', 'batch_first', 'norm_first', 'activation'].flatMap((name) => (call.hints[name] === undefined ? [] : [[name, call.hints[name]]])));
  let x = call.inputs[0] as Value;
  for (const layer of layers.children.values()) x = call.apply(layer, [x, ...rest], { ...hints, ...(layer.type === undefined && { kind }) }) as Value;
  return call.node.children.has('norm') ? inner(call, 'norm', 'LayerNorm', [x]) : x;
};

/** forward(src, tgt, src_mask, tgt_mask, memory_mask, src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask). */
const transformer: Kind = (call) => {
  const [src, tgt] = [call.inputs[0] as Value, tensorOf(call, 1, 'tgt')!];
  const [srcMask, tgtMask, memoryMask, srcPadding, tgtPadding, memoryPadding] = ['src_mask', 'tgt_mask', 'memory_mask', 'src_key_padding_mask', 'tgt_key_padding_mask', 'memory_key_padding_mask']
    .map((name, i) => given(call, i + 2, name)) as [AtenArgument, AtenArgument, AtenArgument, AtenArgument, AtenArgument, AtenArgument];
  const hints = Object.fromEntries(['num_heads', 'nhead', 'batch_first', 'norm_first', 'activation'].flatMap((name) => (call.hints[name] === undefined ? [] : [[name, call.hints[name]]])));
  const memory = inner(call, 'encoder', 'TransformerEncoder', [src, srcMask, srcPadding], hints);
  return inner(call, 'decoder', 'TransformerDecoder', [tgt, memory, tgtMask, memoryMask, tgtPadding, memoryPadding], hints);
};

export const transformerKinds: Readonly<Record<string, Kind>> = {
  MultiheadAttention: multiHeadAttention,
  TransformerEncoderLayer: encoderLayer, TransformerDecoderLayer: decoderLayer,
  TransformerEncoder: stack('TransformerEncoderLayer', ['mask', 'src_key_padding_mask']),
  TransformerDecoder: stack('TransformerDecoderLayer', ['memory', 'tgt_mask', 'memory_mask', 'tgt_key_padding_mask', 'memory_key_padding_mask']),
  Transformer: transformer,
};
