/** A model that sees pictures: batches of them, prepared as its folder says. */
import { readFile } from 'node:fs/promises';
import { DenseTensor, type Feeds, PenjingError, type TaskOptions } from '@penjing/core';
import { decodeBySharp } from './decode-by-sharp.js';
import { type GivenPicture, preparePicturesJob } from './prepare-pictures.js';
import { type PictureProcessor, readPictureProcessor } from './picture-processor.js';
import type { Pixels } from './resize-picture.js';
import { runJobIn } from './run-job-in.js';
import { isList, type LoadTaskOptions, openTaskModel, type TaskModel, wholeNumber } from './task-model.js';

/** A file, the bytes of one, or pixels: rows from the top, channels last (1, 3, or 4 of which the last is dropped). */
export type PictureInput = string | Uint8Array | Pixels;

export interface PictureOptions {
  /** Most pictures in a run; 8 when absent. */
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: TaskOptions['onProgress'] | undefined;
}

export interface PictureModel extends TaskModel {
  readonly processor: PictureProcessor;
}

const INPUT = 'pixel_values';
/** Files beyond are no single pictures. */
const MAX_FILE_BYTES = 2 ** 28;

/** Throws `E_TASK` for a model that reads something else, and what reading its processor throws. */
export async function openPictureModel(path: string, options: LoadTaskOptions): Promise<PictureModel> {
  const model = await openTaskModel(path, options);
  try {
    const [input, ...more] = model.inputs;
    if (input?.name !== INPUT || more.length > 0 || input.type.kind !== 'tensor' || input.type.dtype !== 'float32') {
      throw new PenjingError('E_TASK', `${model.folder} reads ${model.inputs.map(({ name }) => name).join(', ')}: not just pictures`, { hint: 'Convert the checkpoint for the task: `penjing convert --task …`.' });
    }
    return { ...model, processor: await readPictureProcessor(model.folder) };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs `each` on batches, in order. Throws `E_INPUT` naming a picture that is none. */
export async function overPictures<Result>(model: PictureModel, pictures: readonly PictureInput[], options: PictureOptions, each: (feeds: Feeds, count: number) => Promise<readonly Result[]>): Promise<Result[]> {
  if (!isList(pictures)) throw new PenjingError('E_INPUT', 'pictures are given as a list');
  const { type } = model.inputs.find(({ name }) => name === INPUT)!;
  const [batch, dim] = (type.kind === 'tensor' ? type.shape : undefined) ?? [];
  const channels = dim === 1 ? 1 : 3;
  const size = batch === 1 ? 1 : wholeNumber('batchSize', options.batchSize, 8, 1, 1024);
  const results: Result[] = [];
  for (let at = 0; at < pictures.length; at += size) {
    options.signal?.throwIfAborted();
    const given = await Promise.all(pictures.slice(at, at + size).map((picture, i) => read(picture, `picture ${at + i}`)));
    const { values, height, width } = await runJobIn(model.host, preparePicturesJob, { processor: model.processor, pictures: given, channels }, { signal: options.signal });
    const feeds = { [INPUT]: DenseTensor.of('float32', [given.length, channels, height, width], values) };
    results.push(...(await each(feeds, given.length)));
    options.onProgress?.({ phase: 'run', done: results.length, total: pictures.length, unit: 'pictures' });
  }
  return results;
}

async function read(picture: PictureInput, name: string): Promise<GivenPicture> {
  if (picture instanceof Uint8Array) return decodeBySharp(name, picture);
  if (typeof picture === 'string') {
    const bytes = await readFile(picture).catch((cause: unknown) => {
      throw new PenjingError('E_NOT_FOUND', `${picture} cannot be read`, { cause });
    });
    if (bytes.length > MAX_FILE_BYTES) throw new PenjingError('E_LIMIT', `${picture} takes ${bytes.length} bytes`, { hint: `At most ${MAX_FILE_BYTES} are read.` });
    return decodeBySharp(picture, bytes);
  }
  const { width, height, channels, data } = picture ?? {};
  const whole = [width, height].every((edge) => Number.isInteger(edge) && edge >= 1);
  if (!whole || ![1, 3, 4].includes(channels) || !(data instanceof Uint8Array || (data as unknown) instanceof Uint8ClampedArray) || data.length !== width * height * channels) {
    throw new PenjingError('E_INPUT', `${name} is no picture: ${width} × ${height} pixels of ${channels} channels in ${data?.length} bytes`, { hint: 'Give a path, the bytes of a file, or { width, height, channels: 1, 3 or 4, data: Uint8Array }.' });
  }
  return { width, height, channels, data };
}
