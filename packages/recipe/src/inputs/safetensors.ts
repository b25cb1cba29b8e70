/** A safetensors file alone: weights without a graph. */
import { openSafetensors } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { describeTensors, entriesOf } from './describe.js';
import { type InputFormat, weightsOnly } from './input.js';

export const safetensorsInput: InputFormat = {
  files: ['safetensors'],
  async open(path) {
    const checkpoint = await openSafetensors(await fileSource(path));
    return {
      format: 'safetensors',
      path,
      accepts: [],
      graphs: () => Promise.reject(weightsOnly(path, 'Give the folder that holds it together with its config.json.')),
      checkpoint: () => Promise.resolve(checkpoint),
      inspect(options) {
        const facts = [...checkpoint.metadata].map(([name, value]) => ({ name, value }));
        return Promise.resolve(describeTensors('safetensors', entriesOf(checkpoint.tensors), facts, options));
      },
    };
  },
};
