/** `penjing convert`: any checkpoint or graph that is read to any format that is written. */
import type { Command } from '../command.js';
import { common, namedNumbers, namedSizes, names } from '../options.js';
import { runSteps, saveOptions } from '../run-steps.js';
import { stepOptions } from '../step-options.js';

const fields = stepOptions('convert', {
  to: { flags: '--to <format>', help: 'format of the result; by the extension of the output when absent' },
  layout: { flags: '--layout <layout>', help: 'the program a model folder is for; plain puts the graph beside its configuration' },
  task: { flags: '--task <task>', help: 'what the model is for, as text-generation or fill-mask; from config.json when absent' },
  pooling: { flags: '--pooling <modes>', help: 'how states of tokens become the embedding of a sentence: cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, or several with commas; as the folder says when absent', parse: names },
  normalize: { flags: '--normalize', help: 'embeddings of length 1, with --pooling' },
  dtype: { flags: '--dtype <dtype>', help: 'element type of weights and computation' },
  opset: { flags: '--opset <version>', help: 'version of the ONNX operators (21 when absent)' },
  attention: { flags: '--attention <kind>', help: 'fused attention of ONNX Runtime, or standard operators only' },
  blocks: { flags: '--blocks <how>', help: 'weights that are quantized already (GGUF, GPTQ, AWQ): kept exactly (default), with int8 products (faster), or widened' },
  arithmetic: { flags: '--arithmetic <how>', help: 'quantized operators of a TensorFlow Lite file: exact gives its very integers (when absent), fast uses the integer kernels of the runtime, float does not round activations' },
  signature: { flags: '--signature <name>', help: 'which signature of a TensorFlow Lite file with several' },
  adapter: { flags: '--adapter <folder>', help: 'a LoRA adapter to merge into the weights' },
  forward: { flags: '--forward <expression>', help: "how the modules of a PyTorch file compute: 'layer2(relu(layer1(x)))'" },
  inputs: { flags: '--input <spec>', help: "an input of a PyTorch file: 'x:f32[N,100]'; may be repeated", repeat: true },
  key: { flags: '--key <path>', help: 'where the weights are inside a PyTorch file, as ema.state_dict' },
  state: { flags: '--state <how>', help: 'what a program of torch.export changes while it runs, as caches: left out (when absent), or an input and an output each' },
  weights: { flags: '--weights <dtype>', help: 'how files other than ONNX store weights; int8 for TensorFlow Lite alone, which has no bfloat16' },
  like: { flags: '--like <folder>', help: 'write the weights of a model that was made from this Hugging Face folder back under its names, in its layouts and types (safetensors, .pth)' },
  images: { flags: '--images <order>', help: 'axes of pictures among inputs and outputs of TensorFlow Lite' },
  shapes: { flags: '--shape <name=sizes>', help: 'sizes of an input that must be fixed, as x=1,3,224,224; may be repeated', repeat: true, parse: namedSizes, from: byName },
  values: { flags: '--value <name=numbers>', help: 'an input that becomes a constant in TensorFlow Lite, as sr=16000; may be repeated', repeat: true, parse: namedNumbers, from: byName },
});

export const convert: Command = {
  name: 'convert',
  summary: 'turn a checkpoint into a model that runs, or one model format into another',
  arguments: [{ name: '<input>', help: 'a Hugging Face folder, or a GGUF, PyTorch, ONNX, TensorFlow Lite or safetensors file' }],
  options: [
    common.output,
    ...fields.specs,
    ...saveOptions,
    common.threads,
  ],
  examples: ['penjing convert models/sapling -o out/sapling', 'penjing convert model.onnx -o model.tflite', 'penjing convert model.gguf -o out/model', "penjing convert model.pth -o model.onnx --forward 'layer2(relu(layer1(x)))' --input 'x:f32[N,100]'", 'penjing convert out/tuned -o tuned/model.safetensors --like models/sapling   (back to a checkpoint)'],
  run: (context) => runSteps(context, [{ convert: fields.read(context.options) }], { streams: true }),
};

/** `--shape x=1,3 --shape y=2` as a record. */
function byName(given: unknown): unknown {
  return Object.fromEntries(given as [string, number[]][]);
}
