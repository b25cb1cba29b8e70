/** `penjing convert`: a checkpoint or an ONNX file to a runnable model. */
import type { Command } from '../command.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';

export const convert: Command = {
  name: 'convert',
  summary: 'turn a Hugging Face folder into an ONNX model folder, or rewrite an ONNX file',
  arguments: [{ name: '<input>', help: 'a Hugging Face folder (config.json and safetensors) or an .onnx file' }],
  options: [
    common.output,
    { flags: '--to <format>', help: 'format of the result', choices: ['onnx'] },
    { flags: '--dtype <dtype>', help: 'element type of weights and computation', choices: ['float32', 'float16'] },
    { flags: '--attention <kind>', help: 'fused attention of ONNX Runtime, or standard operators only', choices: ['gqa', 'standard'] },
    ...saveOptions,
    common.threads,
  ],
  examples: ['penjing convert models/sapling -o out/sapling', 'penjing convert model.onnx -o rewritten.onnx --force'],
  run: (context) =>
    runSteps(context, [
      { convert: { dtype: context.options['dtype'] as 'float32' | undefined, attention: context.options['attention'] as 'gqa' | undefined } },
    ]),
};
