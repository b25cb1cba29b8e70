/** `penjing simplify`: the same graph with fewer nodes. */
import type { Command } from '../command.js';
import { common } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { stepOptions } from '../step-options.js';

// --no-check, which every verb has, is the same option to the parser
const fields = stepOptions('simplify', {
  fusions: { flags: '--fusions <kind>', help: 'operators that may be made: of the ONNX standard at the opset of the model (default; attention from 23 on), of ONNX Runtime too (attention at any), or none' },
  opset: { flags: '--opset <version>', help: 'raise the model to this version of the ONNX operators' },
  check: { flags: '--check <n>', help: 'compare with the original on so many random inputs before the result appears', from: (check) => (typeof check === 'number' ? check : undefined) },
});

export const simplify: Command = {
  name: 'simplify',
  summary: 'fold constants, remove what has no effect, and join operators that belong together',
  arguments: [{ name: '<input>', help: 'an .onnx file, or anything that converts to one' }],
  options: [common.output, ...fields.specs, ...saveOptions, common.threads],
  examples: ['penjing simplify model.onnx -o smaller.onnx --check 3', 'penjing simplify out/model -o out/model-fused --fusions onnxruntime'],
  run: (context) => runSteps(context, [{ simplify: fields.read(context.options) }]),
};
