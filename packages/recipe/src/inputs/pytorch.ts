/** A file that torch.save wrote, old or new, or a TorchScript archive: weights by name. */
import { openPytorch } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { conversionFacts, describeTensors, entriesOf } from './describe.js';
import { type InputFormat, weightsOnly } from './input.js';

export const pytorchInput: InputFormat = {
  files: ['pytorch', 'pickle'],
  async open(path) {
    const checkpoint = await openPytorch(await fileSource(path));
    return {
      format: 'PyTorch',
      path,
      accepts: [],
      graphs: () => Promise.reject(weightsOnly(path, 'Give the folder that holds it together with its config.json.')),
      checkpoint: () => Promise.resolve(checkpoint),
      inspect(options) {
        const facts = [...checkpoint.metadata].map(([name, value]) => ({ name, value }));
        const weights = entriesOf(checkpoint.tensors);
        return Promise.resolve(describeTensors('PyTorch', weights, [...facts, ...conversionFacts(weights)], options));
      },
    };
  },
};
