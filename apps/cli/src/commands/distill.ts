/** `penjing distill`: trains a small model on what a large one says. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { common, filled, textOf } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { inGroup, stepOptions } from '../step-options.js';
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
    { flags: '--student <model>', help: 'the model that learns: a folder or file, or layers:MAP for some layers of the teacher: layers:half, layers:3, layers:0,2,4', required: true, parse: filled, group: 'Teaching' },
    ...fields.specs,
    common.seed,
    ...saveOptions,
    common.threads,
  ],
  examples: [
    'penjing distill models/sapling --student layers:half -o out/sapling-half --data train.txt --minutes 15 --preset states --rate 1e-3 --batch 4',
    'penjing distill teacher.onnx --student small.onnx -o taught.onnx --data train-images-idx3-ubyte.gz --epochs 10',
  ],
  run(context) {
    const { arguments: teachers, options } = context;
    const student = textOf(options, 'student')!;
    const [layers] = /(?<=^layers:).+/.exec(student) ?? [];
    const [first] = teachers;
    if (student.startsWith('layers:') && (layers === undefined || first === undefined)) throw new PenjingError('E_OPTION', `${student} names no layers`, { hint: 'For example --student layers:half.' });
    const step = { distill: { teachers, ...fields.read(options) } };
    const steps = layers === undefined ? [step] : [{ shrink: { structure: 'layers', keep: layers } }, step];
    return runSteps(context, steps, { input: layers === undefined ? student : first });
  },
};
