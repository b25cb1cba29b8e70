/** `penjing quantize`: weights in 2, 3, 4 or 8 bits, or weights and activations in 8, from a checkpoint or from an ONNX model. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { fleetOptions } from '../fleet-options.js';
import { common, underHeading } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { cacheWords, calibrationWords, excludeWord, inGroup, joinWords, readChosen, type StepOptions, stepOptions } from '../step-options.js';

const integers = stepOptions('quantize', {
  ...inGroup('Weights alone', {
    bits: { flags: '--bits <n>', help: '2, 3 (stored in 4), 4 or 8 (4 when absent)' },
    blockSize: { flags: '--block-size <n>', help: 'weights per scale: 16, 32, 64, 128 or 256 (32 when absent)' },
    symmetric: { flags: '--asymmetric', help: 'a zero point per block: smaller error, a little larger', from: () => false },
    method: { flags: '--method <name>', help: 'how integers are chosen: rtn, the nearest; hqq, on grids that forgive outliers; awq, with inputs enlarged that matter on --data; gptq, by what the model computes on --data' },
    scales: { flags: '--scales <how>', help: 'from the range of a block (when absent, but for gptq), or those of least squared error (gptq)' },
    format: { flags: '--format <name>', help: 'MatMulNBits, or standard DequantizeLinear' },
    accuracyLevel: { flags: '--accuracy-level <n>', help: '4: int8 activations (fast), 1: float32 activations' },
    // commander gives true when --no-embeddings is absent
    embeddings: { flags: '--no-embeddings', help: 'leave lookup tables as they are', from: (value) => (value === false ? false : undefined) },
  }),
  ...calibrationWords,
  ...cacheWords,
  exclude: excludeWord,
});

const cpu = inGroup('Weights and activations', { cpu: { flags: '--cpu <kind>', help: 'the processor that --static and --dynamic write for (this machine when absent)' } });

const ranges = inGroup('Weights and activations', {
  calibrate: { flags: '--calibrate <how>', help: 'how --static chooses the range of an activation (minmax when absent)' },
  percentile: { flags: '--percentile <p>', help: 'per cent of the values that percentile keeps (99.999 when absent)' },
  perChannel: { flags: '--per-tensor', help: 'one scale for a whole weight, not one for each output channel', from: () => false },
});

const own = stepOptions('quantizeStatic', { ...ranges, ...cpu });
const statics = stepOptions('quantizeStatic', { ...ranges, ...cpu, ...calibrationWords, ...cacheWords, exclude: excludeWord });
const dynamics = stepOptions('quantizeDynamic', { ...cpu, exclude: excludeWord });

const smoothing = inGroup('Weights and activations', {
  alpha: { flags: '--smooth [alpha]', help: 'before --static or --dynamic: divide channels of activations that are far larger than others on --data, and multiply weights in turn (SmoothQuant; 0 to 1, 0.5 when left out)', from: (value: unknown) => (value === true ? 0.5 : value) },
  multiply: { flags: '--smooth-multiply', help: 'with --smooth: by a Mul where no normalization or layer can take the factors, as in BERT' },
});
const ownSmoothing = stepOptions('smooth', smoothing);
const smooths = stepOptions('smooth', { ...smoothing, ...calibrationWords, ...cacheWords, exclude: excludeWord });

/** The kinds of quantization that are chosen by a flag. */
const kinds = underHeading('Weights and activations', [
  { flags: '--static', help: 'weights and activations as int8, with scales that --data decides' },
  { flags: '--dynamic', help: 'weights as int8, activations rounded over the range they have in each run' },
]);

const floating = inGroup('16-bit floats', {
  dtype: { flags: '--dtype <dtype>', help: 'store weights as 16-bit floats instead of integers' },
  compute: { flags: '--compute', help: 'with --dtype float16: compute in it too; what overflows on --data stays float32' },
  headroom: { flags: '--headroom <f>', help: 'with --compute: how many times larger than on --data values may become (2 when absent)' },
});
const ownFloats = stepOptions('cast', floating);
const floats = stepOptions('cast', { ...floating, ...calibrationWords, ...cacheWords, exclude: excludeWord });

/** What the verb becomes, by the flag that chooses it. */
const weightsAlone: Omit<Choice, 'when'> = { name: 'weights alone', step: 'quantize', words: integers };
const choices: readonly Choice[] = [
  { name: '--static', step: 'quantizeStatic', words: statics, smooths, when: (options: Options) => options['static'] === true },
  { name: '--dynamic', step: 'quantizeDynamic', words: dynamics, smooths, when: (options: Options) => options['dynamic'] === true },
  { name: '--dtype', step: 'cast', words: floats, when: (options: Options) => options['dtype'] !== undefined },
];

type Options = Readonly<Record<string, unknown>>;

interface Choice {
  readonly name: string;
  readonly step: string;
  readonly words: StepOptions;
  /** Of a step that may come before it. */
  readonly smooths?: StepOptions;
  readonly when: (options: Options) => boolean;
}

export const quantize: Command = {
  name: 'quantize',
  summary: 'round weights to 2, 4 or 8 bits, weights and activations to 8, or store weights as 16-bit floats',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes; -o model.gguf, model.pth and model.tflite write those formats' }],
  options: [common.output, ...kinds, ...integers.specs, ...own.specs, ...ownSmoothing.specs, ...ownFloats.specs, ...saveOptions, ...fleetOptions, common.threads],
  examples: [
    'penjing quantize models/sapling -o out/sapling-q4 --bits 4',
    'penjing quantize out/sapling -o out/sapling --bits 8   (adds a variant to a model folder)',
    'penjing quantize models/sapling -o out/sapling-q2 --bits 2 --asymmetric --method gptq --data train.txt',
    'penjing quantize model.onnx -o model-int8.onnx --static --calibrate entropy --data pictures/',
    'penjing quantize model.onnx -o model-int8.tflite --static --data pictures/',
    'penjing quantize model.onnx -o model-int8.onnx --dynamic',
    'penjing quantize models/sapling -o out/sapling-int8 --dynamic --smooth --data train.txt',
    'penjing quantize model.onnx -o model-fp16.onnx --dtype float16 --compute --data pictures/',
    'penjing quantize model.onnx -o model-q4.onnx --format qdq --exclude /lm_head/',
    'penjing quantize model/ -o out/model --join nats://127.0.0.1:4222 --root /mnt/models   (penjing worker writes the weights)',
  ],
  run(context) {
    const { options } = context;
    const chosen = choices.filter(({ when }) => when(options));
    const [first = weightsAlone, other] = chosen;
    if (other) throw new PenjingError('E_OPTION', `${first.name} and ${other.name} do not go together`, { hint: 'Quantize once in one way; apply recipes for several steps.' });
    const before = options['smooth'] === undefined ? undefined : first.smooths;
    const words = before ? joinWords(before, first.words) : first.words;
    readChosen('quantize', { flag: `for ${first.name}`, words }, [weightsAlone, ...choices, { words: smooths }].map((each) => each.words), options);
    return runSteps(context, [...(before ? [{ smooth: before.read(options) }] : []), { [first.step]: first.words.read(options) }], { streams: options['data'] === undefined });
  },
};
