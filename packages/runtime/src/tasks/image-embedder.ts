/** Embeddings of pictures: what the model gives for the whole of them. */
import { PenjingError } from '@penjing/core';
import type { Reduction } from '../worker/reduce.js';
import { openPictureModel, overPictures, type PictureInput, type PictureModel, type PictureOptions } from './picture-model.js';
import { type LoadTaskOptions, oneOf, outputNamed } from './task-model.js';

const poolings = ['output', 'cls', 'mean'] as const;

export interface LoadImageEmbedderOptions extends LoadTaskOptions {
  /**
   * 'output': the embedding that the graph gives itself (`image_embeds`, `pooler_output`); 'cls': the state of the first place; 'mean': the mean of all states. The first of these
   * that the model has when absent: models of patches 'cls', models of convolutions 'mean'.
   */
  readonly pooling?: (typeof poolings)[number] | undefined;
  /** Embeddings of length 1; false when absent. */
  readonly normalize?: boolean | undefined;
}

export interface ImageEmbedder extends AsyncDisposable {
  /** One embedding per picture, in order. Throws `E_INPUT` naming a picture that is none, `E_DECODER` where a library is missing. */
  embed(pictures: readonly PictureInput[], options?: PictureOptions): Promise<Float32Array[]>;
}

const OWN = ['image_embeds', 'pooler_output'];
const STATES = 'last_hidden_state';

/** Loads a model folder that embeds pictures. Throws `E_TASK` for one that does not. */
export async function loadImageEmbedder(path: string, options: LoadImageEmbedderOptions = {}): Promise<ImageEmbedder> {
  const model = await openPictureModel(path, options);
  try {
    const { output, reduction } = planOf(model, options);
    return {
      embed: (pictures, given = {}) =>
        overPictures(model, pictures, given, async (feeds, count) => {
          const { values, width } = await model.reduce(feeds, output, reduction, given.signal);
          return Array.from({ length: count }, (_, i) => values.slice(i * width, (i + 1) * width));
        }),
      [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

function planOf(model: PictureModel, { pooling, normalize = false }: LoadImageEmbedderOptions): { readonly output: string; readonly reduction: Reduction } {
  const own = OWN.find((name) => model.outputs.some((output) => output.name === name));
  const way = oneOf('pooling', pooling, poolings, own === undefined ? 'cls' : 'output');
  if (way === 'output') {
    if (own === undefined) outputNamed(model, OWN, 'embeddings of pictures');
    return { output: own!, reduction: { kind: 'rows', normalize } };
  }
  const output = outputNamed(model, [STATES], 'embeddings of pictures');
  const type = model.outputs.find(({ name }) => name === output)!.type;
  const rank = type.kind === 'tensor' ? type.shape?.length : undefined;
  // (batch, width, height, width of the map): what convolutions leave has no first state of its own
  if (rank === 4) {
    if (pooling === 'cls') throw new PenjingError('E_OPTION', 'this model has convolutions and no first state: pooling is mean');
    return { output, reduction: { kind: 'spatial', normalize } };
  }
  return { output, reduction: { kind: 'states', mode: way, normalize } };
}
