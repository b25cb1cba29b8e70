/** Pictures as sequences: patches become tokens, special tokens go before them, and a table says where each was. */
import { attribute, lazy, PenjingError, type Value } from '@penjing/core';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';

/** Tables of positions are reshaped before the weights show their true size. */
const MAX_IMAGE_SIZE = 2 ** 14;

export interface PatchShape {
  readonly channels: number;
  readonly hidden: number;
  readonly image: readonly [height: number, width: number];
  readonly patch: readonly [height: number, width: number];
  readonly bias: boolean;
}

export function readPatches(config: Fields, hidden: number, defaults: { readonly image: number; readonly patch: number; readonly bias?: boolean }): PatchShape {
  const shape: PatchShape = {
    channels: config.size('num_channels', 3),
    hidden,
    image: config.pair('image_size', defaults.image, MAX_IMAGE_SIZE),
    patch: config.pair('patch_size', defaults.patch, MAX_IMAGE_SIZE),
    bias: defaults.bias ?? true,
  };
  if (shape.patch.some((size, i) => size > shape.image[i]!)) throw config.wrong('patch_size', 'no larger than image_size');
  return shape;
}

/** Rows and columns of patches in a picture of the config's size. */
export function gridOf({ image, patch }: PatchShape): readonly [rows: number, columns: number] {
  return [Math.floor(image[0] / patch[0]), Math.floor(image[1] / patch[1])];
}

export interface Patches {
  /** (batch, rows · columns, hidden). */
  readonly tokens: Value;
  /** int64 (2): rows and columns. */
  readonly grid: Value;
}

/** One token per patch, by the convolution `name`. */
export function patchTokens(net: Network, name: string, pixels: Value, { channels, hidden, patch, bias }: PatchShape): Patches {
  return net.module(name, () => {
    const weights = [net.weight('weight', [hidden, channels, ...patch]), ...(bias ? [net.weight('bias', [hidden])] : [])];
    const map = net.op('Conv', [pixels, ...weights], { kernel_shape: patch, strides: patch }); // (batch, hidden, rows, columns)
    const flat = net.op('Reshape', [map, net.ints([0, hidden, -1])]);
    return { tokens: net.op('Transpose', [flat], { perm: [0, 2, 1] }), grid: net.op('Shape', [map], { start: 2 }) };
  });
}

/** The same `special` tokens, (1, 1, hidden) each, before the tokens of every picture. */
export function withTokens(net: Network, special: readonly Value[], tokens: Value): Value {
  const batch = net.op('Shape', [tokens], { start: 0, end: 1 });
  const shape = net.op('Concat', [batch, net.ints([1, 1])], { axis: 0 });
  return net.op('Concat', [...special.map((token) => net.op('Expand', [token, shape])), tokens], { axis: 1 });
}

/**
 * The table `name` (1, special + patches, hidden) for pictures of any size: bicubic between the places of the config's
 * size, in float32, as transformers does it. Special tokens keep their rows.
 */
export function interpolatedPositions(net: Network, name: string, grid: Value, shape: PatchShape, special: number): Value {
  const { hidden } = shape;
  const [rows, columns] = gridOf(shape);
  if (rows !== columns) {
    throw new PenjingError('E_CONFIG', `config.json: image_size gives ${rows} x ${columns} patches; positions of pictures that are not square are not interpolated`);
  }
  const table = net.stored(name, [1, special + rows * columns, hidden], 'float32');
  return net.module(name, () => {
    const first = net.derived('special', lazy.slice(table, [0, 0, 0], [1, special, hidden]));
    const patches = lazy.slice(table, [0, special, 0], [1, rows * columns, hidden]);
    const map = net.derived('map', lazy.reshape(lazy.transpose(patches, [0, 2, 1]), [1, hidden, rows, columns]));
    const sizes = net.op('Concat', [net.ints([1, hidden]), grid], { axis: 0 });
    const resized = net.op('Resize', [map, undefined, undefined, sizes], {
      mode: 'cubic', cubic_coeff_a: attribute.float(-0.75), coordinate_transformation_mode: 'half_pixel',
    });
    const flat = net.op('Transpose', [net.op('Reshape', [resized, net.ints([1, hidden, -1])])], { perm: [0, 2, 1] });
    return net.narrow(net.op('Concat', [first, flat], { axis: 1 }));
  });
}
