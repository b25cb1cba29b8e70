/** config.json with weights beside it. */
import { convertHuggingFaceGraphs, openHuggingFaceFolder, type Task } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { conversionFacts, describeTensors, entriesOf } from './describe.js';
import type { InputFormat } from './input.js';

const isWeights = (name: string): boolean => /\.safetensors(\.index\.json)?$|^pytorch_model.*\.bin(\.index\.json)?$/.test(name);

export const huggingFaceInput: InputFormat = {
  holds: (names) => names.includes('config.json') && names.some(isWeights),
  async open(path) {
    const folder = openFolder(path);
    const opened = await openHuggingFaceFolder(folder);
    return {
      format: 'Hugging Face folder',
      path,
      folder,
      accepts: ['dtype', 'attention', 'opset', 'task'],
      graphs: ({ dtype, attention, opset, task }) => convertHuggingFaceGraphs(opened, { dtype, attention, opset, task: task as Task | undefined }),
      checkpoint: () => Promise.resolve(opened.checkpoint),
      inspect(options) {
        const { tensors } = opened.checkpoint;
        const facts = Object.entries(opened.config)
          .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
          .map(([name, value]) => ({ name, value: String(value) }));
        const weights = entriesOf(tensors);
        const architecture = { name: 'architecture', value: opened.architecture || opened.modelType };
        return Promise.resolve(describeTensors('Hugging Face folder', weights, [architecture, ...facts, ...conversionFacts(weights)], options));
      },
    };
  },
};
