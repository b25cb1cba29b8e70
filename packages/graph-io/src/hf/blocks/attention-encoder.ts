/** Attention of encoders: every token looks at every other that is no padding. Operators of ai.onnx only. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import type { Projections } from './attention.js';
import type { Rotate } from './attention-standard.js';
import { linear } from './linear.js';

/** Scores of what must not be seen; finite, so that a row of padding, which sees nothing, stays finite. */
const MASKED = -1e9;
const BOOL = 9;

export interface HeadShape {
  readonly heads: number;
  readonly headDim: number;
}

export interface EncoderAttentionShape extends HeadShape {
  readonly hidden: number;
  readonly bias: boolean;
  /** Of the output projection; like the others when absent. */
  readonly outputBias?: boolean;
  /** `bias` when absent. */
  readonly keyBias?: boolean;
  /** Module that holds query, key and value in one, in this order. */
  readonly fused?: string;
}

/** Modules of the four projections, as the checkpoint names them. */
export interface ProjectionNames {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly output: string;
}

export interface AttendOptions {
  /** Multiplies the scores; 1 / √headDim when absent. */
  readonly scale?: number;
  /** Added to the scores, float32, broadcast to (batch, heads, seq, seq). */
  readonly bias?: Value | undefined;
  /** Turns queries and keys, (batch, heads, seq, headDim), by their places. */
  readonly rotate?: Rotate | undefined;
}

/** The four projections around `attend`; x and the result are (batch, seq, hidden). */
export function encoderAttention(
  net: Network,
  x: Value,
  names: ProjectionNames,
  shape: EncoderAttentionShape,
  options: AttendOptions = {},
): Value {
  const { hidden, heads, headDim, bias, keyBias = bias, outputBias = bias, fused } = shape;
  const outputs = heads * headDim;
  const project = (name: string, part: number): Value =>
    linear(net, name, x, {
      inputs: hidden, outputs, bias: name === names.key ? keyBias : bias,
      ...(fused !== undefined && { stored: { module: fused, outputs: 3 * outputs, start: part * outputs } }),
    });
  const projections = { query: project(names.query, 0), key: project(names.key, 1), value: project(names.value, 2) };
  return linear(net, names.output, attend(net, projections, shape, options), { inputs: outputs, outputs: hidden, bias: outputBias });
}

/** softmax(scale · q · kᵀ + bias) · v, from (batch, seq, heads · headDim) to the same. */
export function attend(net: Network, { query, key, value }: Projections, { heads, headDim }: HeadShape, options: AttendOptions = {}): Value {
  const { bias, rotate = (_, x) => x, scale = headDim ** -0.5 } = options;
  const split = (x: Value): Value =>
    net.op('Transpose', [net.op('Reshape', [x, net.ints([0, 0, heads, headDim])])], { perm: [0, 2, 1, 3] });
  const queries = rotate('q_rotary', split(query), headDim);
  const scaled = scale === 1 ? queries : net.op('Mul', [queries, net.scalar(scale)]);
  const turned = net.op('Transpose', [rotate('k_rotary', split(key), headDim)], { perm: [0, 1, 3, 2] });
  const scores = net.widen(net.op('MatMul', [scaled, turned])); // (batch, heads, seq, seq)
  const weights = net.op('Softmax', [bias ? net.op('Add', [scores, bias]) : scores], { axis: -1 });
  const mixed = net.op('MatMul', [net.narrow(weights), split(value)]); // (batch, heads, seq, headDim)
  return net.op('Reshape', [net.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), net.ints([0, 0, heads * headDim])]);
}

/** True where a token is real, (batch, 1, 1, seq), of the mask (batch, seq). */
export function realTokens(net: Network, mask: Value): Value {
  return net.op('Unsqueeze', [net.op('Cast', [mask], { to: BOOL }), net.ints([1, 2])]);
}

/** True where two places (1, seq) are at most `distance` apart, (seq, seq). */
export function nearTokens(net: Network, places: Value, distance: number): Value {
  const apart = net.op('Abs', [net.op('Sub', [places, net.op('Transpose', [places], { perm: [1, 0] })])]);
  return net.op('LessOrEqual', [apart, net.ints(distance)]);
}

/** True where the place of a key, (1, seq), is not behind that of the query, (seq, seq). */
export function pastTokens(net: Network, places: Value): Value {
  return net.op('LessOrEqual', [places, net.op('Transpose', [places], { perm: [1, 0] })]);
}

/** 0 where a token may be seen, float32, shaped like `seen`. */
export function maskBias(net: Network, seen: Value): Value {
  return net.op('Where', [seen, net.float32(0), net.float32(MASKED)]);
}
