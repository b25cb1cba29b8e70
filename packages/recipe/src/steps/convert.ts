/** The step `convert`: how the model is built, and how it is written. */
import { objectSchema, type StepKind } from './step.js';

/** How graphs are built from the input. */
export interface BuildStep {
  /** What the model is for, as Optimum names it; from config.json when absent. */
  readonly task?: string;
  /** How states of tokens become the embedding of a sentence, instead of what the folder says; several side by side. */
  readonly pooling?: readonly ('cls' | 'max' | 'mean' | 'mean_sqrt_len_tokens' | 'weightedmean' | 'lasttoken')[];
  /** Embeddings of length 1, after `pooling`. */
  readonly normalize?: boolean;
  /** Element type of the written weights and of the computation; float32 when absent. */
  readonly dtype?: 'float32' | 'float16';
  /** Version of ai.onnx. */
  readonly opset?: number;
  /** `gqa`: fused attention of ONNX Runtime. `standard`: ONNX operators only. */
  readonly attention?: 'gqa' | 'standard';
  /** How weights that are quantized already stay so: exactly, with products of int8, or widened to floats. */
  readonly blocks?: 'exact' | 'int8' | 'float';
  /** How the quantized operators of TensorFlow Lite compute: with the runtime's kernels, with the integers of TensorFlow Lite, or on floats where it rounds them. */
  readonly arithmetic?: 'fast' | 'exact' | 'float';
  /** Which signature of a TensorFlow Lite file with several. */
  readonly signature?: string;
  /** Folder of a LoRA adapter (adapter_config.json) to merge into the weights. */
  readonly adapter?: string;
  /** How the modules of a PyTorch file compute: `layer2(relu(layer1(x)))`. */
  readonly forward?: string;
  /** Inputs of a PyTorch file, as `x:f32[N,100]`. */
  readonly inputs?: readonly string[];
  /** Dotted path to the weights inside a PyTorch file, as `ema.state_dict`. */
  readonly key?: string;
  /** What a program of torch.export changes while it runs (caches, statistics): left out, or an input and an output each. */
  readonly state?: 'drop' | 'ports';
}

/** How they are written. */
export interface WriteStep {
  /** Format of the result; by the extension of the output, else ONNX. */
  readonly to?: 'onnx' | 'tflite' | 'gguf' | 'pth' | 'safetensors';
  /** Which program a model folder is for: transformers.js when absent. */
  readonly layout?: 'transformers.js' | 'genai' | 'plain';
  /** How weights are stored where that is a choice; int8 (beside float activations) is for TensorFlow Lite alone, which has no bfloat16. */
  readonly weights?: 'float32' | 'float16' | 'bfloat16' | 'int8';
  /** Of safetensors and .pth: a Hugging Face folder whose names, layouts and types the weights of a model made from it are written back to. */
  readonly like?: string;
  /** Order of the axes of pictures among the inputs and outputs of TensorFlow Lite; as in ONNX when absent. */
  readonly images?: 'channels-first' | 'channels-last';
  /** Sizes of inputs by name, for formats that want them fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Inputs that TensorFlow Lite is to have as constants, by name. */
  readonly values?: Readonly<Record<string, readonly number[]>>;
}

export interface ConvertStep extends BuildStep, WriteStep {}

export const buildFields = ['task', 'pooling', 'normalize', 'dtype', 'opset', 'attention', 'blocks', 'arithmetic', 'signature', 'adapter', 'forward', 'inputs', 'key', 'state'] as const satisfies readonly (keyof BuildStep)[];
export const writeFields = ['to', 'layout', 'weights', 'like', 'images', 'shapes', 'values'] as const satisfies readonly (keyof WriteStep)[];

const name = { type: 'string', minLength: 1 };

export const convertStep: StepKind<ConvertStep> = {
  schema: objectSchema({
    to: { enum: ['onnx', 'tflite', 'gguf', 'pth', 'safetensors'] },
    layout: { enum: ['transformers.js', 'genai', 'plain'] },
    weights: { enum: ['float32', 'float16', 'bfloat16', 'int8'] },
    like: name,
    images: { enum: ['channels-first', 'channels-last'] },
    shapes: { type: 'object', additionalProperties: { type: 'array', items: { type: 'integer', minimum: 1 } } },
    values: { type: 'object', additionalProperties: { type: 'array', items: { type: 'number' } } },
    state: { enum: ['drop', 'ports'] },
    task: name,
    pooling: { type: 'array', minItems: 1, items: { enum: ['cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken'] } },
    normalize: { type: 'boolean' },
    opset: { type: 'integer', minimum: 1, maximum: 64 },
    dtype: { enum: ['float32', 'float16'] },
    attention: { enum: ['gqa', 'standard'] },
    blocks: { enum: ['exact', 'int8', 'float'] },
    arithmetic: { enum: ['fast', 'exact', 'float'] },
    signature: name,
    adapter: name,
    forward: name,
    inputs: { type: 'array', items: name },
    key: { type: 'string' },
  }),
  stored: ({ dtype }) => ({ half: dtype === 'float16' }),
};
