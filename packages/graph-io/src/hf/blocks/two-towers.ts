/** What encoders of pictures and of texts trained together end in: embeddings of both, and how well they match. */
import { tensorType, type Value } from '@penjing/core';
import { Fields } from '../fields.js';
import type { Network } from '../network.js';

/** x / |x|, (batch, width), in float32. */
export function unitLength(net: Network, x: Value): Value {
  const wide = net.widen(x);
  return net.op('Div', [wide, net.op('ReduceL2', [wide, net.ints([-1])], { keepdims: 1 })]);
}

/** One state per row: x (batch, seq, hidden) at places int64 (batch), (batch, hidden). */
export function statesAt(net: Network, x: Value, places: Value): Value {
  return net.op('GatherND', [x, net.op('Unsqueeze', [places, net.ints([-1])])], { batch_dims: 1 });
}

/** The config of one tower; configs leave out what is as in the first release. */
export function partOf(config: Fields, name: string): Fields {
  return config.inside(name) ?? new Fields({}, `${config.where}: ${name}`);
}

export interface Embeddings {
  /** (texts, width) and (pictures, width), in float32, of length 1. */
  readonly text: Value;
  readonly image: Value;
  readonly width: number;
}

/** The outputs that zero-shot classification reads; scores are cosines times exp(`logit_scale`), plus `logit_bias` where it is. */
export function matchOutputs(net: Network, { text, image, width }: Embeddings, bias: boolean): void {
  const { builder } = net;
  const scale = net.op('Exp', [number(net, 'logit_scale')]);
  const cosines = net.op('MatMul', [text, net.op('Transpose', [image], { perm: [1, 0] })]);
  const scaled = net.op('Mul', [cosines, scale]);
  const perText = bias ? net.op('Add', [scaled, number(net, 'logit_bias')]) : scaled;
  const perImage = net.op('Transpose', [perText], { perm: [1, 0] });
  const [texts, images] = ['text_batch_size', 'image_batch_size'];
  builder.output(perImage, 'logits_per_image', tensorType('float32', [images, texts]));
  builder.output(perText, 'logits_per_text', tensorType('float32', [texts, images]));
  builder.output(text, 'text_embeds', tensorType('float32', [texts, width]));
  builder.output(image, 'image_embeds', tensorType('float32', [images, width]));
}

/** A stored number: () in CLIP, (1) in SigLIP. */
function number(net: Network, name: string): Value {
  const shape = net.weights.shapeOf(name);
  return net.widen(net.weight(name, shape?.length === 1 ? [1] : []));
}
