/** `penjing quantize`: weights in 2, 4 or 8 bits, straight from a checkpoint or from an ONNX model. */
import type { Command } from '../command.js';
import { common, oneOf } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';

export const quantize: Command = {
  name: 'quantize',
  summary: 'round weights to 2, 4 or 8 bits per block, or store them as 16-bit floats',
  arguments: [{ name: '<input>', help: 'a folder or file that convert takes; -o model.gguf and -o model.pth write those formats' }],
  options: [
    common.output,
    { flags: '--bits <n>', help: '2, 4 or 8 (4 when absent)', parse: oneOf([2, 4, 8]) },
    { flags: '--block-size <n>', help: 'weights per scale: 16, 32, 64, 128 or 256 (32 when absent)', parse: oneOf([16, 32, 64, 128, 256]) },
    { flags: '--asymmetric', help: 'a zero point per block: smaller error, a little larger' },
    { flags: '--method <name>', help: 'how integers are chosen: rtn, the nearest; gptq, by what the model computes on --data', choices: ['rtn', 'gptq'] },
    { ...common.data, help: 'text to calibrate gptq with: a .txt or .jsonl file' },
    { ...common.samples, help: 'windows of 512 tokens of the data to use (128 when absent)' },
    { flags: '--format <name>', help: 'MatMulNBits, or standard DequantizeLinear', choices: ['qoperator', 'qdq'] },
    { flags: '--accuracy-level <n>', help: '4: int8 activations (fast), 1: float32 activations', parse: oneOf([0, 1, 2, 3, 4]) },
    { flags: '--no-embeddings', help: 'leave lookup tables as they are' },
    { flags: '--exclude <name>', help: 'a weight to leave alone; /…/ is a pattern; may be repeated', repeat: true },
    { flags: '--dtype <dtype>', help: 'store weights as 16-bit floats instead of integers', choices: ['float16', 'bfloat16'] },
    ...saveOptions,
    common.threads,
  ],
  examples: [
    'penjing quantize models/sapling -o out/sapling-q4 --bits 4',
    'penjing quantize out/sapling -o out/sapling --bits 8   (adds a variant to a model folder)',
    'penjing quantize models/sapling -o out/sapling-q2 --bits 2 --asymmetric --method gptq --data train.txt',
    'penjing quantize model.onnx -o model-q4.onnx --format qdq --exclude /lm_head/',
  ],
  run({ options, ...context }) {
    const { dtype, bits, blockSize, asymmetric, method, format, accuracyLevel, embeddings, exclude, data, samples } = options;
    const integers = {
      bits, blockSize, method, format, accuracyLevel, exclude, data, samples,
      symmetric: asymmetric === true ? false : undefined,
      embeddings: embeddings === false ? false : undefined,
    };
    // JSON leaves out what was not given, so the defaults stay in one place.
    return runSteps({ options, ...context }, [dtype === undefined ? { quantize: integers } : { cast: { dtype } }]);
  },
};
