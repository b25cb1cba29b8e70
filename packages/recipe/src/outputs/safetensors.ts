/** Weights by name in one safetensors file. */
import { PenjingError } from '@penjing/core';
import { safetensorsLayout } from '@penjing/graph-io';
import type { WeightsOutput } from './output-format.js';

export const safetensorsOutput: WeightsOutput = {
  kind: 'weights',
  name: 'safetensors',
  extension: '.safetensors',
  accepts: ['to'],
  layouts(checkpoint, { name, steps }) {
    if (steps.some((step) => !('convert' in step))) {
      throw new PenjingError('E_OPTION', 'safetensors files are written from the weights as they are', { hint: 'Write ONNX instead, or leave out the other steps.' });
    }
    return Promise.resolve({ files: safetensorsLayout(checkpoint, { name }) });
  },
};
