/** Students that begin as some of the layers of their teacher. */
import { inferShapes, type Pass, PenjingError, type WeightRecord } from '@penjing/core';
import { layerWeights, removeLayers, residualLayers } from '@penjing/core/rewrite';
import { checkLayers, layerMap } from './layer-map.js';

export interface KeepLayersOptions {
  /** A map as `layerMap` reads it (`half`, `outer:4`, `0,2,4`), or the layers, counted from 0; `half` when absent. */
  readonly keep?: string | readonly number[];
}

/**
 * A pass that runs nothing. A layer is an attention with the feed-forward part behind it, or a residual block where nothing attends. Embeddings, the last norm and heads stay; inputs and
 * outputs for the keys and values of the layers are numbered anew. Throws `E_OPTION` for a map that does not fit, `E_NOTHING_TO_DO` when no layers are found or all of them stay.
 */
export function keepLayers({ keep = 'half' }: KeepLayersOptions = {}): Pass {
  return {
    name: `keep layers ${typeof keep === 'string' ? keep : keep.join(',')}`,
    async run(model) {
      inferShapes(model);
      const layers = residualLayers(model);
      if (layers.length === 0) throw new PenjingError('E_NOTHING_TO_DO', 'this model has no layers that could be left out', { hint: 'Layers are residual blocks with one input and one output of the same shape.' });
      const kept = typeof keep === 'string' ? layerMap(keep, layers.length) : keep;
      checkLayers(kept, layers.length);
      const gone = layers.flatMap((_, i) => (kept.includes(i) ? [] : [i]));
      if (gone.length === 0) throw new PenjingError('E_NOTHING_TO_DO', `all of ${layers.length} layers would stay`);
      const records = gone.flatMap((index) =>
        layerWeights(layers[index]!).map(({ name, tensor }): WeightRecord => ({
          name, method: 'layer dropped', elements: tensor!.shape.reduce((product, size) => product * size, 1), bytesBefore: tensor!.byteLength, bytesAfter: 0, note: `layer ${index} of ${layers.length}`,
        })),
      );
      removeLayers(model, layers, gone);
      return { model, modified: true, records, warnings: [`layers kept, of ${layers.length}, from 0: ${kept.join(', ')}`], sizes: { layers: { before: layers.length, after: kept.length, kept } } };
    },
  };
}
