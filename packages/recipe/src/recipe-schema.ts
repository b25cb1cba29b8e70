/** The shape of a recipe, as TypeScript types and as the JSON schema that validates files. */

/** How graphs are built from the input. */
export interface BuildStep {
  /** What the model is for, as Optimum names it; from config.json when absent. */
  readonly task?: string;
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
  /** How TensorFlow Lite and GGUF store weights; int8 beside float activations is for TensorFlow Lite. */
  readonly weights?: 'float32' | 'float16' | 'int8';
  /** Order of the axes of pictures among the inputs and outputs of TensorFlow Lite; as in ONNX when absent. */
  readonly images?: 'channels-first' | 'channels-last';
  /** Sizes of inputs by name, for formats that want them fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Inputs that TensorFlow Lite is to have as constants, by name. */
  readonly values?: Readonly<Record<string, readonly number[]>>;
}

export interface ConvertStep extends BuildStep, WriteStep {}

export const buildFields = ['task', 'dtype', 'opset', 'attention', 'blocks', 'arithmetic', 'signature', 'adapter', 'forward', 'inputs', 'key', 'state'] as const satisfies readonly (keyof BuildStep)[];
export const writeFields = ['to', 'layout', 'weights', 'images', 'shapes', 'values'] as const satisfies readonly (keyof WriteStep)[];

export interface QuantizeStep {
  readonly bits?: 2 | 4 | 8;
  readonly blockSize?: 16 | 32 | 64 | 128 | 256;
  readonly symmetric?: boolean;
  /** `rtn`: each weight to the nearest value. `gptq`: in the metric of the activations that `data` gives. */
  readonly method?: 'rtn' | 'gptq';
  /** Text to calibrate with. */
  readonly data?: string;
  /** Windows of the text; 128 when absent. */
  readonly samples?: number;
  readonly format?: 'qoperator' | 'qdq';
  readonly accuracyLevel?: 0 | 1 | 2 | 3 | 4;
  readonly embeddings?: boolean;
  /** Names of weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export interface SimplifyStep {
  /** Operators that fusions may make: those of ai.onnx, or those of ONNX Runtime too. */
  readonly fusions?: 'none' | 'standard' | 'onnxruntime';
  /** Raise the model to this version of ai.onnx. */
  readonly opset?: number;
  /** Compare the result with the original on so many random inputs before it appears. */
  readonly check?: number;
}

export interface CastStep {
  readonly dtype: 'float16' | 'bfloat16';
  readonly minElements?: number;
}

/** One step: its name and its options. */
export type RecipeStep =
  | { readonly convert: ConvertStep }
  | { readonly simplify: SimplifyStep }
  | { readonly quantize: QuantizeStep }
  | { readonly cast: CastStep };

export interface Recipe {
  /** Model to start from: a folder or a file, recognised by its content. */
  readonly input: string;
  /** A folder for models that have a configuration, or a file; its extension says the format. */
  readonly output: string;
  readonly steps: readonly RecipeStep[];
}

const object = (properties: Record<string, unknown>, required: readonly string[] = []): Record<string, unknown> => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required,
});

/** JSON schema (draft 2020-12) of a recipe file. `input` and `output` may come from the command line instead. */
export const recipeSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Penjing recipe',
  ...object(
    {
      input: { type: 'string', minLength: 1 },
      output: { type: 'string', minLength: 1 },
      steps: {
        type: 'array',
        items: {
          type: 'object',
          minProperties: 1,
          maxProperties: 1,
          additionalProperties: false,
          properties: {
            convert: object({
              to: { enum: ['onnx', 'tflite', 'gguf', 'pth', 'safetensors'] },
              layout: { enum: ['transformers.js', 'genai', 'plain'] },
              weights: { enum: ['float32', 'float16', 'int8'] },
              images: { enum: ['channels-first', 'channels-last'] },
              shapes: { type: 'object', additionalProperties: { type: 'array', items: { type: 'integer', minimum: 1 } } },
              values: { type: 'object', additionalProperties: { type: 'array', items: { type: 'number' } } },
              state: { enum: ['drop', 'ports'] },
              task: { type: 'string', minLength: 1 },
              opset: { type: 'integer', minimum: 1 },
              dtype: { enum: ['float32', 'float16'] },
              attention: { enum: ['gqa', 'standard'] },
              blocks: { enum: ['exact', 'int8', 'float'] },
              arithmetic: { enum: ['fast', 'exact', 'float'] },
              signature: { type: 'string' },
              adapter: { type: 'string', minLength: 1 },
              forward: { type: 'string', minLength: 1 },
              inputs: { type: 'array', items: { type: 'string', minLength: 1 } },
              key: { type: 'string' },
            }),
            simplify: object({ fusions: { enum: ['none', 'standard', 'onnxruntime'] }, opset: { type: 'integer', minimum: 1 }, check: { type: 'integer', minimum: 1, maximum: 1000 } }),
            quantize: object({
              bits: { enum: [2, 4, 8] },
              blockSize: { enum: [16, 32, 64, 128, 256] },
              symmetric: { type: 'boolean' },
              method: { enum: ['rtn', 'gptq'] },
              data: { type: 'string', minLength: 1 },
              samples: { type: 'integer', minimum: 1 },
              format: { enum: ['qoperator', 'qdq'] },
              accuracyLevel: { enum: [0, 1, 2, 3, 4] },
              embeddings: { type: 'boolean' },
              exclude: { type: 'array', items: { type: 'string', minLength: 1 } },
            }),
            cast: object({ dtype: { enum: ['float16', 'bfloat16'] }, minElements: { type: 'integer', minimum: 1 } }, ['dtype']),
          },
        },
      },
    },
    ['steps'],
  ),
} as const;
