/** `penjing convert`: a checkpoint or an ONNX file to a runnable model. */
import type { Command } from '../command.js';
import { common, filled, integer } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';

export const convert: Command = {
  name: 'convert',
  summary: 'turn a Hugging Face folder into an ONNX model folder, or rewrite an ONNX file',
  arguments: [{ name: '<input>', help: 'a Hugging Face folder (config.json and safetensors) or an .onnx file' }],
  options: [
    common.output,
    { flags: '--to <format>', help: 'format of the result; by the extension of the output when absent', choices: ['onnx', 'safetensors'] },
    { flags: '--layout <layout>', help: 'the program a model folder is for; plain puts the graph beside its configuration', choices: ['transformers.js', 'genai', 'plain'] },
    { flags: '--task <task>', help: 'what the model is for, as text-generation or fill-mask; from config.json when absent', parse: filled },
    { flags: '--dtype <dtype>', help: 'element type of weights and computation', choices: ['float32', 'float16'] },
    { flags: '--opset <version>', help: 'version of the ONNX operators (21 when absent)', parse: integer(1, 64) },
    { flags: '--attention <kind>', help: 'fused attention of ONNX Runtime, or standard operators only', choices: ['gqa', 'standard'] },
    ...saveOptions,
    common.threads,
  ],
  examples: ['penjing convert models/sapling -o out/sapling', 'penjing convert model.onnx -o rewritten.onnx --force'],
  run: (context) => runSteps(context, [{ convert: chosen(context.options, ['to', 'layout', 'task', 'dtype', 'opset', 'attention']) }]),
};

/** The options that were given, by the names of the recipe's fields. */
function chosen(options: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]));
}
