/** `penjing cluster`: weights as places in a small codebook, straight from a checkpoint or from an ONNX model. */
import type { Command } from '../command.js';
import { fleetOptions } from '../fleet-options.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { cacheWords, calibrationWords, excludeWord, stepOptions } from '../step-options.js';

const fields = stepOptions('cluster', {
  bits: { flags: '--bits <n>', help: '1 to 8: a codebook has 2 to the power of it entries (4 when absent)' },
  method: { flags: '--method <name>', help: 'kmeans: every weight counts the same; sensitivity: as much as its input is active on --data' },
  outputs: { flags: '--outputs <n>', help: 'outputs that share a codebook (all of a weight when absent)' },
  ...calibrationWords,
  ...cacheWords,
  // commander gives true when --no-embeddings is absent
  embeddings: { flags: '--no-embeddings', help: 'leave lookup tables as they are', from: (value) => (value === false ? false : undefined) },
  exclude: excludeWord,
});

export const cluster: Command = {
  name: 'cluster',
  summary: 'make the file smaller by a codebook per weight, expanded when the model is loaded',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...fields.specs, ...saveOptions, ...fleetOptions, common.threads],
  examples: [
    'penjing cluster models/sapling -o out/sapling-c4 --bits 4',
    'penjing cluster models/sapling -o out/sapling-c3 --bits 3 --outputs 16 --method sensitivity --data train.txt',
  ],
  run: (context) => runSteps(context, [{ cluster: fields.read(context.options) }]),
};
