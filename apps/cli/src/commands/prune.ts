/** `penjing prune`: zeros among the weights, or whole structures gone, straight from a checkpoint or from an ONNX model. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { fleetOptions } from '../fleet-options.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { cacheWords, calibrationWords, excludeWord, inGroup, readChosen, stepOptions } from '../step-options.js';

const fields = stepOptions('prune', {
  ...inGroup('Weights', {
    method: { flags: '--method <name>', help: 'which weights go: magnitude, the smallest; wanda and sparsegpt, by what the model computes on --data. Of --structure: norm, the smallest; activation, what adds least; obs, what the rest makes up for; taylor, what changes the loss least, by gradients' },
  }),
  ...inGroup('Zeros', {
    sparsity: { flags: '--sparsity <share>', help: 'share of the weights that become 0: 0.5' },
    pattern: { flags: '--pattern <n:m>', help: 'instead: of every m inputs of an output, n stay: 2:4, 4:8' },
    scope: { flags: '--scope <scope>', help: 'of magnitude: one threshold per weight (layer), or one for all (global)' },
    store: { flags: '--store <form>', help: 'sparse: only what is not 0, and where, in each weight that gets smaller so (more than 2/3 zeros of float32)' },
  }),
  ...calibrationWords,
  ...cacheWords,
  exclude: excludeWord,
});

const shrink = stepOptions('shrink', {
  ...inGroup('Whole parts', {
    structure: { flags: '--structure <name>', help: 'take whole parts out instead, and cut what reads them: attention heads, features inside of feed-forward parts (ffn), hidden features between the parts (hidden; then train the result), all of these (width), channels of convolutions, layers' },
    ratio: { flags: '--ratio <share>', help: 'of --structure: share of the parts that go' },
    size: { flags: '--size <n>', help: 'of --structure, instead of --ratio: how many stay in each layer' },
    keep: { flags: '--keep <layers>', help: 'of --structure layers, instead of --ratio: which stay: half or 4 (evenly spaced), first:4, outer:4 (the first three and the last), or counted from 0: 0,2,4' },
    update: { flags: '--update', help: 'of --structure: fit what remains to what the model computed on --data (obs does so anyway)' },
  }),
  method: { flags: '--method <name>', help: '' },
  ...calibrationWords,
  ...cacheWords,
  exclude: { flags: '--exclude <name>', help: '', repeat: true },
});

/** Words that both steps have are in the list once, with what either may be. */
const options = fields.specs.map((spec) => {
  const twin = shrink.specs.find(({ flags }) => flags === spec.flags);
  return twin?.choices && spec.choices ? { ...spec, choices: [...spec.choices, ...twin.choices] } : spec;
});
const added = shrink.specs.filter(({ flags }) => !fields.specs.some((spec) => spec.flags === flags));

export const prune: Command = {
  name: 'prune',
  summary: 'set weights to 0, or take out heads, features, channels or layers',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes' }],
  options: [common.output, ...options, ...added, ...saveOptions, ...fleetOptions, common.threads],
  examples: [
    'penjing prune models/sapling -o out/sapling-half --sparsity 0.5',
    'penjing prune models/sapling -o out/sapling-2of4 --pattern 2:4 --method sparsegpt --data train.txt',
    'penjing prune models/sapling -o out/sapling-slim --structure ffn --ratio 0.25 --method obs --data train.txt',
    'penjing prune models/sapling -o out/sapling-half --structure layers --keep half',
  ],
  run(context) {
    const { options: given } = context;
    const [step, flag, words] = given['structure'] === undefined ? (['prune', 'without --structure', fields] as const) : (['shrink', 'with --structure', shrink] as const);
    const read = readChosen('prune', { flag, words }, [fields, shrink], given);
    if (step === 'shrink' && read['ratio'] === undefined && read['size'] === undefined && read['keep'] === undefined) {
      throw new PenjingError('E_OPTION', 'what share goes is not said', { hint: 'Give --ratio 0.25 for a quarter of the parts, or --keep half for layers.' });
    }
    return runSteps(context, [{ [step]: read }]);
  },
};
