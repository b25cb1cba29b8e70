/** Weights by name in one safetensors file. */
import { PenjingError } from '@penjing/core';
import { safetensorsLayout } from '@penjing/graph-io';
import type { WeightsOutput } from './output-format.js';
import { plainWeights } from './plain-weights.js';

export const safetensorsOutput: WeightsOutput = {
  kind: 'weights',
  name: 'safetensors',
  extension: '.safetensors',
  accepts: ['to', 'weights', 'like'],
  async layouts(given, { name, steps, write }) {
    if (steps.some((step) => !('convert' in step))) {
      throw new PenjingError('E_OPTION', 'safetensors files are written from the weights as they are', { hint: 'Write ONNX instead, or leave out the other steps.' });
    }
    const { checkpoint, ...rest } = await plainWeights(given, write);
    return { files: safetensorsLayout(checkpoint, { name }), ...rest };
  },
};
