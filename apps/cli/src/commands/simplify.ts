/** `penjing simplify`: the same graph with fewer nodes. */
import type { Command } from '../command.js';
import { common, integer } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';

export const simplify: Command = {
  name: 'simplify',
  summary: 'fold constants, remove what has no effect, and join operators that belong together',
  arguments: [{ name: '<input>', help: 'an .onnx file, or anything that converts to one' }],
  options: [
    common.output,
    { flags: '--fusions <kind>', help: 'operators that may be made: of the ONNX standard at the opset of the model (default; attention from 23 on), of ONNX Runtime too (attention at any), or none', choices: ['none', 'standard', 'onnxruntime'] },
    { flags: '--opset <version>', help: 'raise the model to this version of the ONNX operators', parse: integer(1, 64) },
    { flags: '--check <n>', help: 'compare with the original on so many random inputs before the result appears', parse: integer(1, 1000) },
    ...saveOptions,
    common.threads,
  ],
  examples: ['penjing simplify model.onnx -o smaller.onnx --check 3', 'penjing simplify out/model -o out/model-fused --fusions onnxruntime'],
  run({ options, ...context }) {
    return runSteps({ options, ...context }, [{ simplify: { fusions: options['fusions'], opset: options['opset'], ...(typeof options['check'] === 'number' && { check: options['check'] }) } }]);
  },
};
