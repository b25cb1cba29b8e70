/** Windows sliding over the spatial axes of (batch, channels, …): sizes, padding, and which input elements each one sees. */
import type { Node } from '../graph/node.js';
import { elementCount, type Shape, stridesOf } from '../shape.js';

export interface Window {
  readonly kernel: Shape;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Spatial sizes of the output. */
  readonly out: Shape;
}

/** A window over `spatial` sizes as the attributes of a node describe it. */
export function windowOf(node: Node, spatial: Shape, kernel: Shape): Window {
  const ones = spatial.map(() => 1);
  const strides = node.ints('strides') ?? ones;
  const dilations = node.ints('dilations') ?? ones;
  const pads = node.ints('pads') ?? spatial.flatMap(() => [0, 0]);
  const auto = node.string('auto_pad', 'NOTSET');
  const ceil = node.int('ceil_mode', 0) === 1;
  const reach = kernel.map((size, i) => (size - 1) * dilations[i]! + 1);
  const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER';
  const out: number[] = [];
  const [before, after]: [number[], number[]] = [[], []];
  spatial.forEach((size, i) => {
    const stride = strides[i]!;
    if (same) {
      const count = Math.ceil(size / stride);
      const total = Math.max(0, (count - 1) * stride + reach[i]! - size);
      before.push(auto === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2));
      after.push(total - before[i]!);
      out.push(count);
      return;
    }
    before.push(auto === 'VALID' ? 0 : pads[i]!);
    after.push(auto === 'VALID' ? 0 : pads[i + spatial.length]!);
    const room = size + before[i]! + after[i]! - reach[i]!;
    let count = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
    // A window may not start in the padding behind the end.
    if (ceil && (count - 1) * stride >= size + before[i]!) count--;
    out.push(count);
  });
  return { kernel, strides, dilations, before, after, out };
}

/**
 * For each output position the flat spatial input index under every kernel position: (positions, kernel elements), -1 in the padding
 * and -2 beyond it (where only the ceiling mode can reach).
 */
export function windowIndex(window: Window, spatial: Shape): Int32Array {
  const { kernel, strides, dilations, before, after, out } = window;
  const [inStrides, outStrides, kernelStrides] = [stridesOf(spatial), stridesOf(out), stridesOf(kernel)];
  const [positions, taps] = [elementCount(out), elementCount(kernel)];
  const index = new Int32Array(positions * taps);
  for (let p = 0; p < positions; p++) {
    for (let t = 0; t < taps; t++) {
      let at = 0;
      for (let i = 0; i < spatial.length && at > -2; i++) {
        const o = Math.floor(p / outStrides[i]!) % out[i]!;
        const k = Math.floor(t / kernelStrides[i]!) % kernel[i]!;
        const position = o * strides[i]! + k * dilations[i]! - before[i]!;
        if (position >= spatial[i]! + after[i]!) at = -2;
        else if (position < 0 || position >= spatial[i]!) at = -1;
        else if (at >= 0) at += position * inStrides[i]!;
      }
      index[p * taps + t] = at;
    }
  }
  return index;
}
