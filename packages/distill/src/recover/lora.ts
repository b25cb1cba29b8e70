/** Low-rank adapters beside frozen weights (Hu et al. 2021, arXiv:2106.09685). */
import { cloneModel, createRng, type Checkpoint, denseOf, lazy, type Model, modelGraphs, Names, Node, type PassResult, PenjingError, type Tensor, tensorType, Value, type WeightRecord } from '@penjing/core';
import { weightMatrices, type WeightMatrix } from '@penjing/core/calibrate';

export interface LoraOptions {
  /** Inner size of the product; 8 when absent. */
  readonly rank?: number;
  /** The product counts alpha / rank times; twice the rank when absent. */
  readonly alpha?: number;
  /** Names of weights, or patterns of them; every matrix of a product that no lookup reads when absent. */
  readonly targets?: readonly (string | RegExp)[];
  /** Of the first half of each adapter; the second begins as zeros. */
  readonly seed?: number;
}

/** One adapter: y = x W + alpha / rank · (x A) B. */
export interface LoraAdapter {
  /** Name of the weight, as floats. */
  readonly weight: string;
  /** Names of A (inputs, rank) and B (rank, outputs). */
  readonly a: string;
  readonly b: string;
}

export interface Lora {
  /** The model with adapters, which computes what it did: train what `select` chooses. */
  readonly model: Model;
  readonly adapters: readonly LoraAdapter[];
  readonly rank: number;
  readonly alpha: number;
  /** The halves of adapters, and nothing else. */
  readonly select: (name: string) => boolean;
  /** The original model, its weights with the adapters of `trained` in them: W + alpha / rank · A B, computed when they are written. Throws `E_UNSUPPORTED` for adapters beside integers: they stay where they are. */
  merge(trained: Model): PassResult;
  /** The adapters of `trained` as PEFT stores them: tensors of adapter_model.safetensors, and adapter_config.json. */
  peft(trained: Model, options?: PeftOptions): PeftAdapter;
}

export interface PeftOptions {
  /** `CAUSAL_LM`, `SEQ_CLS` …; none when absent. */
  readonly taskType?: string | undefined;
  readonly base?: string | undefined;
}

export interface PeftAdapter {
  readonly checkpoint: Checkpoint;
  readonly config: Readonly<Record<string, unknown>>;
}

interface Place {
  readonly name: string;
  readonly sites: readonly Node[];
  readonly inputs: number;
  readonly outputs: number;
  /** Undefined for integers. */
  readonly matrix: WeightMatrix | undefined;
}

/**
 * Adds adapters to a copy of a model: to products with a matrix, MatMul and Gemm, and to MatMulNBits, whose integers stay as they are (Dettmers et al. 2023, arXiv:2305.14314). The first halves are uniform in
 * ±1/√inputs, as PEFT begins. Throws `E_OPTION` for a rank below 1 or above the smaller side of a matrix, `E_NOTHING_TO_DO` when no weight matches.
 */
export function addLora(original: Model, { rank = 8, alpha = 2 * rank, targets, seed = 0 }: LoraOptions = {}): Lora {
  if (!Number.isInteger(rank) || rank < 1 || !(alpha > 0)) throw new PenjingError('E_OPTION', `adapters of rank ${rank} and alpha ${alpha}`, { hint: 'The rank is a whole number from 1 on, alpha is above 0.' });
  const model = cloneModel(original);
  const places = placesOf(model).filter(({ name }) => !targets || targets.some((rule) => (typeof rule === 'string' ? rule === name : name.search(rule) !== -1)));
  if (places.length === 0) throw new PenjingError('E_NOTHING_TO_DO', 'no weight is chosen for an adapter', { hint: 'Adapters stand beside matrices of MatMul, Gemm and MatMulNBits in the main graph; see the names with `penjing inspect`.' });
  const rng = createRng(seed);
  const names = new Names(modelGraphs(model));
  const scale = model.graph.addInitializer(names.claim('lora_scale'), denseOf('float32', [], [alpha / rank]));
  const adapters = places.map(({ name, sites, inputs, outputs }): LoraAdapter => {
    if (rank > Math.min(inputs, outputs)) throw new PenjingError('E_OPTION', `${name} is ${inputs} by ${outputs}: an adapter of rank ${rank} is no smaller`, { hint: 'Choose a smaller rank, or other targets.' });
    const reach = 1 / Math.sqrt(inputs);
    const a = model.graph.addInitializer(names.claim(`${name}.lora_A`), denseOf('float32', [inputs, rank], Array.from({ length: inputs * rank }, () => reach * (2 * rng.uniform() - 1))));
    const b = model.graph.addInitializer(names.claim(`${name}.lora_B`), denseOf('float32', [rank, outputs], new Array<number>(rank * outputs).fill(0)));
    for (const site of sites) addBeside(site, { a, b, scale }, names);
    return { weight: name, a: a.name, b: b.name };
  });
  model.origin = undefined;
  const halves = new Set(adapters.flatMap(({ a, b }) => [a, b]));
  return {
    model, adapters, rank, alpha,
    select: (name) => halves.has(name),
    merge: (trained) => merge(original, trained, { adapters, factor: alpha / rank }),
    peft: (trained, options) => peft(trained, { adapters, rank, alpha, others: placesOf(original).map(({ name }) => name) }, options),
  };
}

/** Matrices of products in the main graph, and what quantized ones are called without the ending of their integers. */
function placesOf(model: Model): Place[] {
  const floats = weightMatrices(model, ['matmul', 'gemm']).matrices.flatMap((matrix): Place[] => {
    const { weight, owner, sites, otherReaders, matrix: { shape, dtype } } = matrix;
    const usable = owner === model.graph && dtype === 'float32' && otherReaders.length === 0 && sites.every(({ node }) => node.graph === model.graph && node.int('transA', 0) === 0);
    return usable ? [{ name: weight.name, sites: sites.map(({ node }) => node), inputs: shape[1]!, outputs: shape[0]!, matrix }] : [];
  });
  const integers = [...model.graph.nodes()].flatMap((node): Place[] => {
    const values = node.opType === 'MatMulNBits' && node.domain === 'com.microsoft' ? node.input(1) : undefined;
    return values?.tensor ? [{ name: values.name.replace(/\.q\d$/, ''), sites: [node], inputs: node.int('K')!, outputs: node.int('N')!, matrix: undefined }] : [];
  });
  return [...floats, ...integers];
}

function addBeside(site: Node, { a, b, scale }: { readonly a: Value; readonly b: Value; readonly scale: Value }, names: Names): void {
  const graph = site.graph!;
  const output = site.output();
  const plain = new Value(names.claim(`${output.name}_frozen`), output.type);
  site.replaceOutput(0, plain);
  let anchor = site;
  const put = (opType: string, inputs: readonly Value[], result = new Value(names.claim(`${output.name}_lora`), tensorType('float32'))): Value => {
    anchor = graph.insertAfter(anchor, new Node(opType, inputs, [result], { name: names.claim(`${site.name}/lora/${opType}`) }));
    return result;
  };
  // Scaled where it is narrow.
  const narrow = put('Mul', [put('MatMul', [site.input(0)!, a]), scale]);
  put('Add', [plain, put('MatMul', [narrow, b])], output);
}

function tensorOf(trained: Model, name: string): Tensor {
  const tensor = trained.graph.initializers.get(name)?.tensor;
  if (!tensor) throw new PenjingError('E_INPUT', `the trained model has no ${name}`, { hint: 'Give the model that the adapters were added to, or a copy of it.' });
  return tensor;
}

function merge(original: Model, trained: Model, { adapters, factor }: { readonly adapters: readonly LoraAdapter[]; readonly factor: number }): PassResult {
  const places = new Map(placesOf(original).map((place) => [place.name, place]));
  const records = adapters.map(({ weight, a, b }): WeightRecord => {
    const matrix = places.get(weight)?.matrix;
    if (!matrix) throw new PenjingError('E_UNSUPPORTED', `${weight} is integers: an adapter cannot be merged into them`, { hint: 'Keep the adapters beside them, or save them for PEFT.' });
    // The matrix has a row per output.
    const change = lazy.transpose(lazy.matmul(tensorOf(trained, a), tensorOf(trained, b)), [1, 0]);
    const { tensor } = matrix.weight;
    matrix.weight.tensor = matrix.stored(lazy.add(matrix.matrix, lazy.multiply(change, lazy.fill('float32', [1], factor))));
    return { name: weight, method: 'LoRA merged', elements: tensor!.byteLength / 4, bytesBefore: tensor!.byteLength, bytesAfter: tensor!.byteLength };
  });
  original.origin = undefined;
  return { model: original, modified: true, records, warnings: [] };
}

interface Exported {
  readonly adapters: readonly LoraAdapter[];
  readonly rank: number;
  readonly alpha: number;
  /** All weights that could have one. */
  readonly others: readonly string[];
}

const MODULE = /^(.*)\.weight$/;

function peft(trained: Model, { adapters, rank, alpha, others }: Exported, { taskType, base }: PeftOptions = {}): PeftAdapter {
  const modules = adapters.map(({ weight }) => {
    const module = MODULE.exec(weight)?.[1];
    if (module === undefined) throw new PenjingError('E_UNSUPPORTED', `${weight} is not named as a module of a network is`, { hint: 'Adapters for PEFT need the names of the Hugging Face checkpoint: convert the model from its folder.' });
    return module;
  });
  const tensors = new Map(adapters.flatMap(({ a, b }, i) => [
    [`base_model.model.${modules[i]}.lora_A.weight`, lazy.transpose(tensorOf(trained, a), [1, 0])] as const,
    [`base_model.model.${modules[i]}.lora_B.weight`, lazy.transpose(tensorOf(trained, b), [1, 0])] as const,
  ]));
  // The last part of a name says it where every module of that name has an adapter.
  const last = (name: string): string => name.split('.').at(-1)!;
  const without = new Set(others.flatMap((weight) => MODULE.exec(weight)?.[1] ?? []).filter((module) => !modules.includes(module)).map(last));
  const targets = [...new Set(modules.map((module) => (without.has(last(module)) ? module : last(module))))].sort();
  return {
    checkpoint: { tensors, metadata: new Map([['format', 'pt']]) },
    config: {
      peft_type: 'LORA', task_type: taskType ?? null, base_model_name_or_path: base ?? null, r: rank, lora_alpha: alpha, lora_dropout: 0, target_modules: targets, bias: 'none',
      fan_in_fan_out: false, use_rslora: false, inference_mode: true, modules_to_save: null,
    },
  };
}
