/** `penjing distill`: trains a small model on what a large one says. */
import type { Command } from '../command.js';
import { fleetOptions } from '../fleet-options.js';
import { common, filled, textOf } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { inGroup, stepOptions } from '../step-options.js';
import { runTogether, togetherOptions } from '../train-together.js';
import { trainingWords } from '../training-words.js';

const fields = stepOptions('distill', {
  ...inGroup('Teaching', {
    preset: { flags: '--preset <name>', help: 'losses as a published recipe weighs them: hinton (when absent), distilbert, tinybert (layers and maps of attention too), minitron (the logits alone), states (labels and what the head of a language model reads)' },
    temperature: { flags: '--temperature <f>', help: 'of the probabilities that are learned' },
    soft: { flags: '--soft <weight>', help: 'how much the probabilities of the teacher count' },
    hard: { flags: '--hard <weight>', help: 'how much labels, or the words that follow, count' },
    hidden: { flags: '--hidden <weight>', help: 'how much what goes out of layers counts' },
    attention: { flags: '--attention <weight>', help: 'how much maps of attention count' },
    cacheTeacher: { flags: '--cache-teacher', help: 'ask the teacher once for each sample and keep the answers in the work folder' },
  }),
  ...trainingWords,
  ...inGroup('Weights', { scratch: { flags: '--scratch', help: 'the student begins with random weights' } }),
});

export const distill: Command = {
  name: 'distill',
  summary: 'train a small model on what a large one says',
  arguments: [{ name: '<teacher...>', help: 'a folder or file that convert takes; the answers of several are averaged' }],
  options: [
    common.output,
    { flags: '--student <model>', help: 'the model that learns: a folder or file; or a part of the teacher: layers:half, layers:0,2,4, width:0.5 (hidden features, feed-forward parts and heads), layers:2,hidden:256,ffn:512,heads:4, or a config.json with smaller sizes', required: true, parse: filled, group: 'Teaching' },
    ...fields.specs,
    common.seed,
    ...togetherOptions,
    ...fleetOptions.filter(({ flags }) => !togetherOptions.some((option) => option.flags === flags)),
    ...saveOptions,
    common.threads,
  ],
  examples: [
    'penjing distill models/sapling --student layers:half -o out/sapling-half --data train.txt --minutes 15 --preset states --rate 1e-3 --batch 4',
    'penjing distill models/sapling --student width:0.5 -o out/sapling-narrow --data train.txt --minutes 15 --preset minitron',
    'penjing distill teacher.onnx --student small.onnx -o taught.onnx --data train-images-idx3-ubyte.gz --epochs 10',
    'penjing distill teacher.onnx --student small.onnx -o taught.onnx --data train.txt --epochs 3 --cache-teacher --join nats://127.0.0.1:4222 --root /mnt/models   (penjing worker asks the teacher)',
  ],
  async run(context) {
    const { arguments: teachers, options } = context;
    const student = textOf(options, 'student')!;
    const read = fields.read(options) as { readonly scratch?: boolean; readonly data?: string; readonly columns?: readonly string[]; readonly scale?: number; readonly mean?: readonly number[]; readonly std?: readonly number[] };
    const { scratch, data, columns, scale, mean, std } = read;
    const { studentSteps } = await import('@penjing/recipe');
    // random weights are alike: nothing is asked which of them matter
    const made = await studentSteps(student, { teacher: teachers[0]!, ...(!scratch && { data, columns, ...(scale !== undefined && { scale }), ...(mean && { mean }), ...(std && { std }) }) });
    return runTogether(context, (exchange) => runSteps(context, [...(made ?? []), { distill: { teachers, ...read } }], { input: made ? teachers[0] : student, exchange }));
  },
};
