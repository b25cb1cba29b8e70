/** What preprocessor_config.json says of pictures: how they are resized, cut and normalised before a model sees them. */
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { readJson } from '../tokenize/tokenizer-files.js';
import type { JsonObject } from './task-model.js';

export interface PictureSize {
  readonly height: number;
  readonly width: number;
}

/** As plain data, for the worker. */
export interface PictureProcessor {
  /** To a size, or so that the shorter edge has one; undefined leaves pictures as they are. */
  readonly resize: { readonly to: PictureSize | number; readonly filter: ResizeFilter } | undefined;
  /** The middle of what came out of it, with black around what is smaller. */
  readonly crop: PictureSize | undefined;
  /** (pixel · scale − mean) / std, by channel. */
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export type ResizeFilter = 'nearest' | 'lanczos' | 'bilinear' | 'bicubic' | 'box' | 'hamming';

/** By the numbers of PIL. */
const FILTERS: readonly ResizeFilter[] = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'];

/** What transformers fills in for fields that a configuration leaves out. */
interface Usual {
  readonly filter: ResizeFilter;
  readonly size: JsonObject;
  /** Of a size that is one number: an edge of a square, or the shorter edge. */
  readonly square: boolean;
  readonly crop?: JsonObject;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const STANDARD = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
const CLIP = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] };
const both = (edge: number): JsonObject => ({ height: edge, width: edge });

const processors: Readonly<Record<string, Usual>> = {
  ViT: { filter: 'bilinear', size: both(224), square: true, ...STANDARD },
  DeiT: { filter: 'bicubic', size: both(256), square: true, crop: both(224), ...STANDARD },
  CLIP: { filter: 'bicubic', size: { shortest_edge: 224 }, square: false, crop: both(224), ...CLIP },
  Bit: { filter: 'bicubic', size: { shortest_edge: 224 }, square: false, crop: both(224), ...CLIP },
  Siglip: { filter: 'bicubic', size: both(224), square: true, ...STANDARD },
  ConvNext: { filter: 'bicubic', size: { shortest_edge: 384 }, square: false, ...STANDARD },
};

const FILE = 'preprocessor_config.json';
/** Larger pictures than any of these models sees; their floats would take gigabytes. */
const MAX_EDGE = 8192;

/** Throws `E_NOT_FOUND` without the file, `E_CONFIG` naming a field that is wrong, `E_UNSUPPORTED` for a processor that does something else. */
export async function readPictureProcessor(folder: string): Promise<PictureProcessor> {
  const config = await readJson(join(folder, FILE));
  if (!config) throw new PenjingError('E_NOT_FOUND', `${folder} has no ${FILE}`, { hint: 'Copy it from the original model: it says how pictures are resized and normalised.' });
  return pictureProcessor(config);
}

export function pictureProcessor(config: JsonObject): PictureProcessor {
  const type = config['image_processor_type'] ?? config['feature_extractor_type'];
  const kind = typeof type === 'string' ? type.replace(/(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/, '') : '';
  if (!Object.hasOwn(processors, kind)) {
    throw new PenjingError('E_UNSUPPORTED', `${FILE}: pictures for ${typeof type === 'string' ? type : 'a processor without a name'} are not prepared here`, { hint: `Prepared are those for ${Object.keys(processors).map((name) => `${name}ImageProcessor`).join(', ')}.` });
  }
  const usual = processors[kind]!;
  const flag = (name: string, otherwise: boolean): boolean => (typeof config[name] === 'boolean' ? config[name] : otherwise);
  if (flag('do_pad', false)) throw new PenjingError('E_UNSUPPORTED', `${FILE}: do_pad is not supported here`);
  const filter = config['resample'] === undefined ? usual.filter : FILTERS[config['resample'] as number];
  if (filter === undefined) throw wrong('resample', 'a number of PIL from 0 to 5');
  const { resize, crop: cropped } = flag('do_resize', true) ? resizing(kind, config, usual, filter) : {};
  const crop = flag('do_center_crop', usual.crop !== undefined) ? sizeOf(config['crop_size'] ?? usual.crop, 'crop_size', true) : undefined;
  if (typeof crop === 'number') throw wrong('crop_size', 'a height and a width');
  const normalizes = flag('do_normalize', true);
  return {
    resize,
    crop: crop ?? cropped,
    scale: flag('do_rescale', true) ? finite(config['rescale_factor'] ?? 1 / 255, 'rescale_factor') : 1,
    mean: normalizes ? numbers(config['image_mean'] ?? usual.mean, 'image_mean') : [0],
    std: normalizes ? numbers(config['image_std'] ?? usual.std, 'image_std', true) : [1],
  };
}

function resizing(kind: string, config: JsonObject, usual: Usual, filter: ResizeFilter): Pick<PictureProcessor, 'resize' | 'crop'> {
  const size = sizeOf(config['size'] ?? usual.size, 'size', usual.square);
  if (kind !== 'ConvNext') return { resize: { to: size, filter }, crop: undefined };
  // Small ones are cut out of the middle of larger ones, large ones are warped to a square.
  if (typeof size !== 'number') throw wrong('size', 'the shortest edge');
  const square = { height: size, width: size };
  if (size >= 384) return { resize: { to: square, filter }, crop: undefined };
  return { resize: { to: edge(Math.floor(size / finite(config['crop_pct'] ?? 224 / 256, 'crop_pct')), 'crop_pct'), filter }, crop: square };
}

/** A number means the shorter edge. */
function sizeOf(value: unknown, name: string, square: boolean): PictureSize | number {
  if (typeof value === 'number') return square ? { height: edge(value, name), width: edge(value, name) } : edge(value, name);
  const { height, width, shortest_edge: shortest, longest_edge: longest } = (typeof value === 'object' && value !== null ? value : {}) as JsonObject;
  if (longest !== undefined && longest !== null) throw new PenjingError('E_UNSUPPORTED', `${FILE}: ${name} has a longest edge, which is not supported here`);
  if (typeof shortest === 'number') return edge(shortest, name);
  return { height: edge(height, name), width: edge(width, name) };
}

function edge(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_EDGE) return value;
  throw wrong(name, `whole numbers from 1 to ${MAX_EDGE}`);
}

function finite(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw wrong(name, 'a number above 0');
}

function numbers(value: unknown, name: string, positive = false): readonly number[] {
  const list = (Array.isArray(value) ? value : [value]) as readonly unknown[];
  const fine = (each: unknown): each is number => typeof each === 'number' && Number.isFinite(each) && (!positive || each > 0);
  if ((list.length === 1 || list.length === 3) && list.every(fine)) return list;
  throw wrong(name, `one number or three${positive ? ', above 0' : ''}`);
}

function wrong(name: string, what: string): PenjingError {
  return new PenjingError('E_CONFIG', `${FILE}: ${name} is not ${what}`);
}
