/** `penjing lowrank`: weight matrices as products of two thin ones. */
import type { Command } from '../command.js';
import { fleetOptions } from '../fleet-options.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { cacheWords, calibrationWords, excludeWord, stepOptions } from '../step-options.js';

const factors = stepOptions('lowrank', {
  method: { flags: '--method <name>', help: 'svd: the nearest weights; asvd, svd-llm: by what the model computes on --data (the best is svd-llm)' },
  ratio: { flags: '--rank-ratio <f>', help: 'weights that stay, as a share of each matrix: 0.5' },
  energy: { flags: '--energy <f>', help: 'the smallest rank that keeps this share of a matrix, in the measure of the method: 0.95' },
  rank: { flags: '--rank <n>', help: 'the same rank everywhere' },
  global: { flags: '--global', help: '--rank-ratio for all matrices together: ranks go where they count most' },
  alpha: { flags: '--alpha <f>', help: 'how strongly asvd scales inputs, 0 to 1 (0.5 when absent)' },
  ...calibrationWords,
  ...cacheWords,
  exclude: excludeWord,
});

export const lowrank: Command = {
  name: 'lowrank',
  summary: 'replace weight matrices by products of two thin ones: smaller, and faster in the same proportion',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...factors.specs, ...saveOptions, ...fleetOptions, common.threads],
  examples: [
    'penjing lowrank models/sapling -o out/sapling-half --rank-ratio 0.5 --method svd-llm --data train.txt',
    'penjing lowrank model.onnx -o small.onnx --energy 0.95',
  ],
  run: (context) => runSteps(context, [{ lowrank: factors.read(context.options) }]),
};
