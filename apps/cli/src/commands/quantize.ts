/** `penjing quantize`: weights in 2, 4 or 8 bits, straight from a checkpoint or from an ONNX model. */
import type { Command } from '../command.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { stepOptions } from '../step-options.js';

const integers = stepOptions('quantize', {
  bits: { flags: '--bits <n>', help: '2, 3 (stored in 4), 4 or 8 (4 when absent)' },
  blockSize: { flags: '--block-size <n>', help: 'weights per scale: 16, 32, 64, 128 or 256 (32 when absent)' },
  symmetric: { flags: '--asymmetric', help: 'a zero point per block: smaller error, a little larger', from: () => false },
  method: { flags: '--method <name>', help: 'how integers are chosen: rtn, the nearest; hqq, on grids that forgive outliers; awq, with inputs enlarged that matter on --data; gptq, by what the model computes on --data' },
  scales: { flags: '--scales <how>', help: 'from the range of a block (default), or those of least squared error' },
  data: { flags: '--data <path>', help: 'text to calibrate awq and gptq with: a .txt or .jsonl file' },
  samples: { flags: '--samples <n>', help: 'windows of 512 tokens of the data to use (128 when absent)' },
  format: { flags: '--format <name>', help: 'MatMulNBits, or standard DequantizeLinear' },
  accuracyLevel: { flags: '--accuracy-level <n>', help: '4: int8 activations (fast), 1: float32 activations' },
  // commander gives true when --no-embeddings is absent
  embeddings: { flags: '--no-embeddings', help: 'leave lookup tables as they are', from: (value) => (value === false ? false : undefined) },
  exclude: { flags: '--exclude <name>', help: 'a weight to leave alone; /…/ is a pattern; may be repeated', repeat: true },
});

const floats = stepOptions('cast', {
  dtype: { flags: '--dtype <dtype>', help: 'store weights as 16-bit floats instead of integers' },
});

export const quantize: Command = {
  name: 'quantize',
  summary: 'round weights to 2, 4 or 8 bits per block, or store them as 16-bit floats',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes; -o model.gguf and -o model.pth write those formats' }],
  options: [common.output, ...integers.specs, ...floats.specs, ...saveOptions, common.threads],
  examples: [
    'penjing quantize models/sapling -o out/sapling-q4 --bits 4',
    'penjing quantize out/sapling -o out/sapling --bits 8   (adds a variant to a model folder)',
    'penjing quantize models/sapling -o out/sapling-q2 --bits 2 --asymmetric --method gptq --data train.txt',
    'penjing quantize model.onnx -o model-q4.onnx --format qdq --exclude /lm_head/',
  ],
  run(context) {
    const cast = floats.read(context.options);
    return runSteps(context, ['dtype' in cast ? { cast } : { quantize: integers.read(context.options) }]);
  },
};
