/** config.json with weights beside it. */
import { convertHuggingFaceGraphs, type HuggingFaceFolder, mergeLora, openHuggingFaceFolder, type Task } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { conversionFacts, describeTensors, entriesOf } from './describe.js';
import type { InputFormat } from './input.js';

const isWeights = (name: string): boolean => /\.safetensors(\.index\.json)?$|^pytorch_model.*\.bin(\.index\.json)?$/.test(name);

export const huggingFaceInput: InputFormat = {
  // the first releases of sentence-transformers kept the network in a folder of its own
  holds: (names) => (names.includes('config.json') ? names.some(isWeights) : names.includes('modules.json')),
  async open(path) {
    const folder = openFolder(path);
    const opened = await openHuggingFaceFolder(folder);
    return {
      format: 'Hugging Face folder',
      path,
      folder,
      ...(opened.leftOut !== undefined && { warnings: [`${opened.folder.name} also takes ${opened.leftOut}: what sees or hears is left out, its decoder of texts is converted as ${opened.architecture}`] }),
      accepts: ['dtype', 'attention', 'opset', 'task', 'pooling', 'normalize', 'blocks', 'adapter'],
      graphs: async ({ dtype, attention, opset, task, blocks, adapter, pooling, normalize }) =>
        convertHuggingFaceGraphs(await withAdapter(opened, adapter), { dtype, attention, opset, blocks, pooling, normalize, task: task as Task | undefined }),
      checkpoint: async ({ adapter } = {}) => (await withAdapter(opened, adapter)).checkpoint,
      inspect(options) {
        const { tensors } = opened.checkpoint;
        const facts = Object.entries(opened.config)
          .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
          .map(([name, value]) => ({ name, value: String(value) }));
        const weights = entriesOf(tensors);
        const architecture = { name: 'architecture', value: opened.architecture || opened.modelType };
        const modules = opened.modules ? [{ name: 'modules', value: opened.modules.steps.map(({ type }) => type).join(', ') }] : [];
        const leftOut = opened.leftOut === undefined ? [] : [{ name: 'left out', value: `${opened.leftOut}: the decoder of texts converts` }];
        return Promise.resolve(describeTensors('Hugging Face folder', weights, [architecture, ...modules, ...leftOut, ...facts, ...conversionFacts(weights)], options));
      },
    };
  },
};

async function withAdapter(folder: HuggingFaceFolder, adapter: string | undefined): Promise<HuggingFaceFolder> {
  return adapter === undefined ? folder : mergeLora(folder, openFolder(adapter));
}
