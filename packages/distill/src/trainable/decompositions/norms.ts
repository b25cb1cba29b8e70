/** Normalization of a sum, and of the embeddings of a text. */
import { attribute, dtypes, type Value } from '@penjing/core';
import type { Decomposition, DecompositionContext } from '../decomposition.js';

function layerNorm(c: DecompositionContext, x: Value, scale: Value, bias: Value | undefined): Value {
  return c.ops.op('LayerNormalization', [x, scale, bias], { axis: -1, epsilon: attribute.float(c.node.float('epsilon', 1e-12)) });
}

/** Outputs between the first and the sum are statistics. */
function refuseStatistics(c: DecompositionContext): void {
  if (c.reads(1) || c.reads(2)) throw c.unsupported(`the statistics of ${c.node.opType}`);
}

export const skipLayerNormalization: Decomposition = (c) => {
  refuseStatistics(c);
  const sum = c.ops.add(c.input(0), c.input(1));
  const all = c.optional(4) ? c.ops.add(sum, c.input(4)) : sum;
  return [layerNorm(c, all, c.input(2), c.optional(3)), undefined, undefined, all];
};

export const skipSimplifiedLayerNormalization: Decomposition = (c) => {
  refuseStatistics(c);
  const sum = c.ops.add(c.input(0), c.input(1));
  const all = c.optional(3) ? c.ops.add(sum, c.input(3)) : sum;
  return [c.ops.op('SimplifiedLayerNormalization', [all, c.input(2)], { axis: -1, epsilon: attribute.float(c.node.float('epsilon', 1e-12)) }), undefined, undefined, all];
};

export const embedLayerNormalization: Decomposition = (c) => {
  const { ops } = c;
  const ids = c.input(0); // (batch, seq)
  const places = c.optional(8) ?? ops.op('Range', [ops.op('Squeeze', [ops.ints([0])]), ops.op('Squeeze', [ops.op('Gather', [ops.shape(ids), ops.ints([1])])]), ops.op('Squeeze', [ops.ints([1])])]);
  const words = ops.add(ops.op('Gather', [c.input(2), ids]), ops.op('Gather', [c.input(3), places]));
  const sum = c.optional(1) && c.optional(4) ? ops.add(words, ops.op('Gather', [c.input(4), c.input(1)])) : words;
  const lengths = (): Value => {
    const mask = c.optional(7);
    if (!mask) throw c.unsupported('lengths of an EmbedLayerNormalization without a mask');
    return ops.op('Cast', [ops.sum(mask, [1], false)], { to: dtypes.int32.onnx });
  };
  return [layerNorm(c, sum, c.input(5), c.optional(6)), c.reads(1) ? lengths() : undefined, sum];
};
