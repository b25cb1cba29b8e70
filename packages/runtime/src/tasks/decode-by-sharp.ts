/**
 * Files of pictures to upright pixels by sharp, where it is installed: the decoders that Pillow has, and the same pixels. It works in threads of its own, so it is called from the
 * calling thread: it does not outlive the end of a worker that loaded it.
 */
import { PenjingError } from '@penjing/core';
import { dataLimits, isPicture } from '@penjing/graph-io/data';
import type { GivenPicture } from './prepare-pictures.js';

/** What is used of the library. */
interface SharpImage {
  metadata(): Promise<{ readonly format?: string; readonly space?: string; readonly width: number; readonly height: number }>;
  autoOrient(): SharpImage;
  pipelineColourspace(name: string): SharpImage;
  toColourspace(name: string): SharpImage;
  removeAlpha(): SharpImage;
  raw(options: { depth: 'uchar' }): SharpImage;
  toBuffer(options: { resolveWithObject: true }): Promise<{ data: Uint8Array; info: { width: number; height: number; channels: number } }>;
}
export type Sharp = (bytes: Uint8Array, options: { limitInputPixels: number | false; ignoreIcc: true }) => SharpImage;

/** Pictures of pixels; drawings (SVG, PDF) have no size of their own. */
const FORMATS = new Set(['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif', 'avif', 'jxl', 'jp2']);

/**
 * The first picture of the file, turned as its EXIF says, without transparency and profile. PNG and JPEG are left as they are where sharp cannot be loaded. Throws `E_DATA` for a
 * broken file, `E_LIMIT` for a huge one, `E_DECODER` for what nothing here decodes.
 */
export async function decodeBySharp(name: string, bytes: Uint8Array, load = loadSharp): Promise<GivenPicture> {
  let sharp: Sharp;
  try {
    sharp = await load();
  } catch (cause) {
    if (isPicture(bytes)) return { name, bytes };
    throw new PenjingError('E_DECODER', `${name} is neither PNG nor JPEG, and sharp, which reads other pictures, cannot be loaded`, { cause, hint: 'npm install sharp, or give the picture as PNG, JPEG or raw pixels { width, height, channels, data }.' });
  }
  try {
    const { format = 'nothing', space, width, height } = await sharp(bytes, { limitInputPixels: false, ignoreIcc: true }).metadata();
    if (!FORMATS.has(format)) throw new PenjingError('E_DECODER', `${name} is ${format}, which has no pixels of its own`, { hint: 'Give it as PNG or JPEG.' });
    if (width * height > dataLimits.pixels) throw new PenjingError('E_LIMIT', `${name} has ${width} × ${height} pixels`, { hint: `At most ${dataLimits.pixels} are decoded; make it smaller.` });
    const image = sharp(bytes, { limitInputPixels: dataLimits.pixels, ignoreIcc: true }).autoOrient();
    const inks = space === 'cmyk';
    const coloured = inks ? image.pipelineColourspace('cmyk').toColourspace('cmyk') : image.toColourspace(space === 'b-w' || space === 'grey16' ? 'b-w' : 'srgb');
    const { data, info } = await coloured.removeAlpha().raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, channels: info.channels, data, ...(inks && { inks }) };
  } catch (cause) {
    if (cause instanceof PenjingError) throw cause;
    throw new PenjingError('E_DATA', `${name} is no picture that sharp reads: ${(cause as Error).message}`, { cause, hint: 'It reads JPEG, PNG, WebP, GIF, TIFF and AVIF. Is the file whole?' });
  }
}

async function loadSharp(): Promise<Sharp> {
  // By a name that no bundler follows: it is optional.
  const library = 'sharp';
  return ((await import(library)) as { default: Sharp }).default;
}
