/** `penjing finetune`: trains a model on text, or on samples with labels. */
import type { Command } from '../command.js';
import { common, names } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { inGroup, stepOptions } from '../step-options.js';
import { runTogether, togetherOptions } from '../train-together.js';
import { trainingWords } from '../training-words.js';

const fields = stepOptions('finetune', {
  ...trainingWords,
  ...inGroup('Weights', { scratch: { flags: '--scratch', help: 'begin with random weights instead of those of the model' } }),
  ...inGroup('Pairs of texts', {
    temperature: { flags: '--temperature <f>', help: 'divides the cosines of pairs without scores (0.05 when absent)' },
    symmetric: { flags: '--symmetric', help: 'ask for the first text of each second one too' },
  }),
  ...inGroup('Adapters', {
    lora: { flags: '--lora <rank>', help: 'train adapters of this rank beside frozen weights instead, and merge them into these; beside integers they stay' },
    loraAlpha: { flags: '--lora-alpha <f>', help: 'adapters count alpha / rank times (twice the rank when absent)' },
    loraTargets: { flags: '--lora-target <name>', help: 'a matrix that gets an adapter, all when absent; /…/ is a pattern; may be repeated', repeat: true },
    adapter: { flags: '--adapter <folder>', help: 'save the adapters for PEFT too: adapter_model.safetensors and adapter_config.json' },
  }),
});

const pooling = stepOptions('convert', inGroup('Pairs of texts', {
  pooling: { flags: '--pooling <modes>', help: 'how the states of tokens become one embedding of a text (mean, cls, lasttoken …), where the folder does not say it', parse: names },
  normalize: { flags: '--normalize', help: 'embeddings of length 1, after --pooling' },
}));

const BITS: Readonly<Record<string, 2 | 3 | 4 | 8>> = { int2: 2, int3: 3, int4: 4, int8: 8 };

const qat = { flags: '--qat <type>', help: 'round the weights to integers first (int2, int3, int4, int8) and train them as such, step sizes too; a model that is quantized already is trained so anyway', choices: Object.keys(BITS), group: 'Weights' };

export const finetune: Command = {
  name: 'finetune',
  summary: 'train the weights of a model on text, on samples with labels, or on pairs of texts that mean the same',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...fields.specs, ...pooling.specs, qat, common.seed, ...togetherOptions, ...saveOptions, common.threads],
  examples: [
    'penjing finetune models/sapling -o out/sapling-tuned --data stories.txt --minutes 10 --report training.html',
    'penjing finetune classifier.onnx -o tuned.onnx --data train-images-idx3-ubyte.gz --epochs 3',
    'penjing finetune out/sapling-sparse -o out/sapling-recovered --data train.txt --steps 500   (zeros of pruned weights stay)',
    'penjing finetune models/sapling -o out/sapling-int2 --data train.txt --qat int2 --steps 500',
    'penjing finetune models/sapling -o out/sapling-tuned --data train.txt --lora 8 --adapter out/sapling-adapter --steps 500',
    'penjing finetune models/sapling -o out/sapling-tuned --data train.txt --steps 500 --join-training host0:7000 --rank 1 --world 2   (and rank 0 on host0)',
    'penjing finetune encoder -o out/encoder-tuned --data pairs.jsonl --epochs 3   (anchor, positive[, score]: embeddings)',
  ],
  run(context) {
    const step = { finetune: fields.read(context.options) };
    const type = context.options['qat'];
    // Scales of least error: training goes on from there.
    const rounded = type === undefined ? [] : [{ quantize: { bits: BITS[type as string]!, scales: 'squares' } }];
    const build = pooling.given(context.options).length === 0 ? [] : [{ convert: { task: 'sentence-similarity', ...pooling.read(context.options) } }];
    return runTogether(context, (exchange) => runSteps(context, [...build, ...rounded, step], { exchange }));
  },
};
