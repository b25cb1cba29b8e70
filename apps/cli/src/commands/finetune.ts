/** `penjing finetune`: trains a model on text, or on samples with labels. */
import type { Command } from '../command.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { stepOptions } from '../step-options.js';
import { trainingWords } from '../training-words.js';

const fields = stepOptions('finetune', {
  ...trainingWords,
  scratch: { flags: '--scratch', help: 'begin with random weights instead of those of the model' },
});

export const finetune: Command = {
  name: 'finetune',
  summary: 'train the weights of a model on text, or on samples with labels',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...fields.specs.map((spec) => (spec.flags.startsWith('--data') ? { ...spec, required: true } : spec)), common.seed, ...saveOptions, common.threads],
  examples: [
    'penjing finetune models/sapling -o out/sapling-tuned --data stories.txt --minutes 10 --report training.html',
    'penjing finetune classifier.onnx -o tuned.onnx --data train-images-idx3-ubyte.gz --epochs 3',
    'penjing finetune out/sapling-sparse -o out/sapling-recovered --data train.txt --steps 500   (zeros of pruned weights stay)',
  ],
  run: (context) => runSteps(context, [{ finetune: fields.read(context.options) }]),
};
