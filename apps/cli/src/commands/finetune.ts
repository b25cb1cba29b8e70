/** `penjing finetune`: trains a model on text, or on samples with labels. */
import type { Command } from '../command.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { inGroup, stepOptions } from '../step-options.js';
import { trainingWords } from '../training-words.js';

const fields = stepOptions('finetune', {
  ...trainingWords,
  ...inGroup('Weights', { scratch: { flags: '--scratch', help: 'begin with random weights instead of those of the model' } }),
  ...inGroup('Adapters', {
    lora: { flags: '--lora <rank>', help: 'train adapters of this rank beside frozen weights instead, and merge them into these; beside integers they stay' },
    loraAlpha: { flags: '--lora-alpha <f>', help: 'adapters count alpha / rank times (twice the rank when absent)' },
    loraTargets: { flags: '--lora-target <name>', help: 'a matrix that gets an adapter, all when absent; /…/ is a pattern; may be repeated', repeat: true },
    adapter: { flags: '--adapter <folder>', help: 'save the adapters for PEFT too: adapter_model.safetensors and adapter_config.json' },
  }),
});

const BITS: Readonly<Record<string, 2 | 3 | 4 | 8>> = { int2: 2, int3: 3, int4: 4, int8: 8 };

const qat = { flags: '--qat <type>', help: 'round the weights to integers first (int2, int3, int4, int8) and train them as such, step sizes too; a model that is quantized already is trained so anyway', choices: Object.keys(BITS), group: 'Weights' };

export const finetune: Command = {
  name: 'finetune',
  summary: 'train the weights of a model on text, or on samples with labels',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...fields.specs, qat, common.seed, ...saveOptions, common.threads],
  examples: [
    'penjing finetune models/sapling -o out/sapling-tuned --data stories.txt --minutes 10 --report training.html',
    'penjing finetune classifier.onnx -o tuned.onnx --data train-images-idx3-ubyte.gz --epochs 3',
    'penjing finetune out/sapling-sparse -o out/sapling-recovered --data train.txt --steps 500   (zeros of pruned weights stay)',
    'penjing finetune models/sapling -o out/sapling-int2 --data train.txt --qat int2 --steps 500',
    'penjing finetune models/sapling -o out/sapling-tuned --data train.txt --lora 8 --adapter out/sapling-adapter --steps 500',
  ],
  run(context) {
    const step = { finetune: fields.read(context.options) };
    const type = context.options['qat'];
    // Scales of least error: training goes on from there.
    return runSteps(context, type === undefined ? [step] : [{ quantize: { bits: BITS[type as string]!, scales: 'squares' } }, step]);
  },
};
