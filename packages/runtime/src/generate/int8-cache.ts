/** Keys and values of a decoder as bytes: GroupQueryAttention reads them with a step for each channel. */
import { attribute, denseOf, type GraphBuilder, type Node, tensorType, type Value } from '@penjing/core';
import type { LayerCache } from './generation-form.js';
import { keyRotation } from './key-rotation.js';

/** Input of the form: what one step of the bytes is worth, channel by channel; of each layer the keys, then the values, each (kvHeads · headDim). */
export const CACHE_STEPS = 'cache_steps';
/** Inputs of GroupQueryAttention. */
const SCALES = [12, 13] as const;
const BITS = 8;
const SINK = 11;
/** A score that is as good as never: exp of it is 0 beside any other. */
const NEVER = -1e30;

/** The caches of these nodes hold bytes from now on. Returns what the layers are then, and how many steps there are. Throws `E_UNSUPPORTED` where it cannot be read how keys are rotated. */
export function toInt8Cache(b: GraphBuilder, nodes: readonly Node[], layers: readonly LayerCache[]): { readonly layers: readonly LayerCache[]; readonly steps: number } {
  const rotations = nodes.map((node, i) => keyRotation(node, layers[i]!.headDim));
  const sizes = layers.flatMap(({ kvHeads, headDim }) => [kvHeads * headDim, kvHeads * headDim]);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const steps = b.input(CACHE_STEPS, tensorType('float32', [total]));
  const parts = b.before(nodes[0]!, () => b.nodes('Split', [steps, b.constant('int64', sizes)], { axis: 0 }, { outputCount: sizes.length }));
  const sinks = new Map<number, Value>();
  nodes.forEach((node, i) => {
    for (const kind of ['k_quant_type', 'v_quant_type']) node.attributes.set(kind, attribute.string('PER_CHANNEL'));
    node.attributes.set('kv_cache_bit_width', attribute.int(BITS));
    // A sink makes ONNX Runtime (1.30) score all tokens at once instead of in tiles, which take longer for one token: 15.2 -> 12.7 ms a token at 4,000 (0.44 B weights), 23.6 -> 22.0 ms for eight texts at 128; prompts take as long.
    if (!node.input(SINK) && typeOf(node.input(0)) === 'float32') {
      const { heads } = layers[i]!;
      const sink = sinks.get(heads) ?? b.initializer(`no_sink.${heads}`, denseOf('float32', [heads], new Array<number>(heads).fill(NEVER)));
      sinks.set(heads, sink);
      node.setInput(SINK, sink);
    }
    SCALES.forEach((input, kind) => {
      node.setInput(input, parts[2 * i + kind]!);
      const { kvHeads, headDim } = layers[i]!;
      for (const value of [node.input(3 + kind)!, node.output(1 + kind)]) value.type = tensorType('int8', ['batch_size', kvHeads, 'capacity', headDim]);
    });
  });
  return { layers: layers.map((layer, i) => ({ ...layer, dtype: 'int8', rotation: rotations[i] })), steps: total };
}

const typeOf = (value: Value | undefined): string | undefined => (value?.type?.kind === 'tensor' ? value.type.dtype : undefined);
