/** `penjing convert`: any checkpoint or graph that is read to any format that is written. */
import type { Command } from '../command.js';
import { common, filled, integer, listOf, namedNumbers, namedSizes } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';

export const convert: Command = {
  name: 'convert',
  summary: 'turn a checkpoint into a model that runs, or one model format into another',
  arguments: [{ name: '<input>', help: 'a Hugging Face folder, or a GGUF, PyTorch, ONNX, TensorFlow Lite or safetensors file' }],
  options: [
    common.output,
    { flags: '--to <format>', help: 'format of the result; by the extension of the output when absent', choices: ['onnx', 'tflite', 'gguf', 'pth', 'safetensors'] },
    { flags: '--layout <layout>', help: 'the program a model folder is for; plain puts the graph beside its configuration', choices: ['transformers.js', 'genai', 'plain'] },
    { flags: '--task <task>', help: 'what the model is for, as text-generation or fill-mask; from config.json when absent', parse: filled },
    { flags: '--dtype <dtype>', help: 'element type of weights and computation', choices: ['float32', 'float16'] },
    { flags: '--opset <version>', help: 'version of the ONNX operators (21 when absent)', parse: integer(1, 64) },
    { flags: '--attention <kind>', help: 'fused attention of ONNX Runtime, or standard operators only', choices: ['gqa', 'standard'] },
    { flags: '--blocks <how>', help: 'weights that are quantized already (GGUF, GPTQ, AWQ): kept exactly (default), with int8 products (faster), or widened', choices: ['exact', 'int8', 'float'] },
    { flags: '--arithmetic <how>', help: 'quantized operators of a TensorFlow Lite file: exact gives its very integers (when absent), fast uses the integer kernels of the runtime, float does not round activations', choices: ['fast', 'exact', 'float'] },
    { flags: '--signature <name>', help: 'which signature of a TensorFlow Lite file with several', parse: filled },
    { flags: '--adapter <folder>', help: 'a LoRA adapter to merge into the weights', parse: filled },
    { flags: '--forward <expression>', help: "how the modules of a PyTorch file compute: 'layer2(relu(layer1(x)))'", parse: filled },
    { flags: '--input <spec>', help: "an input of a PyTorch file: 'x:f32[N,100]'; may be repeated", repeat: true },
    { flags: '--key <path>', help: 'where the weights are inside a PyTorch file, as ema.state_dict' },
    { flags: '--state <how>', help: 'what a program of torch.export changes while it runs, as caches: left out (when absent), or an input and an output each', choices: ['drop', 'ports'] },
    { flags: '--weights <dtype>', help: 'how TensorFlow Lite and GGUF store weights; int8 for TensorFlow Lite alone', choices: ['float32', 'float16', 'int8'] },
    { flags: '--images <order>', help: 'axes of pictures among inputs and outputs of TensorFlow Lite', choices: ['channels-first', 'channels-last'] },
    { flags: '--shape <name=sizes>', help: 'sizes of an input that must be fixed, as x=1,3,224,224; may be repeated', repeat: true, parse: namedSizes },
    { flags: '--value <name=numbers>', help: 'an input that becomes a constant in TensorFlow Lite, as sr=16000; may be repeated', repeat: true, parse: namedNumbers },
    ...saveOptions,
    common.threads,
  ],
  examples: ['penjing convert models/sapling -o out/sapling', 'penjing convert model.onnx -o model.tflite', 'penjing convert model.gguf -o out/model', "penjing convert model.pth -o model.onnx --forward 'layer2(relu(layer1(x)))' --input 'x:f32[N,100]'"],
  run: (context) => runSteps(context, [{ convert: chosen(context.options, ['to', 'layout', 'weights', 'images', 'task', 'dtype', 'opset', 'attention', 'blocks', 'arithmetic', 'signature', 'adapter', 'forward', 'key', 'state'], { ...recordOf(context.options, 'shape', 'shapes'), ...recordOf(context.options, 'value', 'values'), ...inputsOf(context.options) }) }]),
};

/** The options that were given, by the names of the recipe's fields. */
function chosen(options: Readonly<Record<string, unknown>>, names: readonly string[], more: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { ...Object.fromEntries(names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]])), ...more };
}

function inputsOf(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const inputs = listOf(options, 'input');
  return inputs.length > 0 ? { inputs } : {};
}

/** `--shape x=1,3 --shape y=2` as the field `shapes`. */
function recordOf(options: Readonly<Record<string, unknown>>, option: string, field: string): Record<string, unknown> {
  const given = options[option];
  return Array.isArray(given) ? { [field]: Object.fromEntries(given as [string, number[]][]) } : {};
}
