/** `penjing prune`: zeros among the weights, straight from a checkpoint or from an ONNX model. */
import type { Command } from '../command.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { calibrationWords, stepOptions } from '../step-options.js';

const fields = stepOptions('prune', {
  method: { flags: '--method <name>', help: 'which weights go: magnitude, the smallest; wanda and sparsegpt, by what the model computes on --data' },
  sparsity: { flags: '--sparsity <share>', help: 'share of the weights that become 0: 0.5' },
  pattern: { flags: '--pattern <n:m>', help: 'instead: of every m inputs of an output, n stay: 2:4, 4:8' },
  scope: { flags: '--scope <scope>', help: 'of magnitude: one threshold per weight (layer), or one for all (global)' },
  ...calibrationWords,
  exclude: { flags: '--exclude <name>', help: 'a weight to leave alone; /…/ is a pattern; may be repeated', repeat: true },
});

export const prune: Command = {
  name: 'prune',
  summary: 'set weights to 0: a share of them, or so many of every few',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...fields.specs, ...saveOptions, common.threads],
  examples: [
    'penjing prune models/sapling -o out/sapling-half --sparsity 0.5',
    'penjing prune models/sapling -o out/sapling-2of4 --pattern 2:4 --method sparsegpt --data train.txt',
  ],
  run: (context) => runSteps(context, [{ prune: fields.read(context.options) }]),
};
