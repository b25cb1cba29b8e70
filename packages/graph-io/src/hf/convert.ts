/** A Hugging Face folder to a model: the graph of its architecture over its weights, which stay on disk. */
import { allNodes, Graph, Model, PenjingError } from '@penjing/core';
import { irVersionOf, irVersions } from '../onnx/ir-versions.js';
import type { Architecture, Task } from './architecture.js';
import { type AttentionForm, attentionForms } from './blocks/attention.js';
import { blockPolicies, type BlockPolicy } from './blocks/matrix.js';
import { Fields } from './fields.js';
import { Network } from './network.js';
import type { HuggingFaceConfig, HuggingFaceFolder } from './open.js';
import { architectures, supportedClasses } from './registry.js';
import { sentenceGraph, type SentenceOptions, sentenceSteps } from './sentence/build.js';
import { embedsSentences } from './sentence/modules.js';
import { type FloatDType, Weights } from './weights.js';

export interface ConvertHuggingFaceOptions extends SentenceOptions {
  /** What the model is for; from the class in config.json when absent. */
  readonly task?: Task;
  /** Type of weights, activations and cache; float32 when absent. Logits are float32 always. */
  readonly dtype?: FloatDType;
  /**
   * `gqa` when absent: the fused operator of ONNX Runtime, which cannot continue a batch of several rows by several
   * tokens at once (prompts of batches and single steps are fine). `standard` runs anywhere and has no such gap.
   */
  readonly attention?: AttentionForm;
  /**
   * What becomes of weights that are quantized already (GGUF, GPTQ, AWQ): `exact` when absent keeps them and gives the results of the
   * weights as floats; `int8` rounds activations too, and is the fastest; `float` makes them floats, as does attention in
   * the `standard` form, since there is no standard operator for them.
   */
  readonly blocks?: BlockPolicy;
  /** Version of ai.onnx; 21 when absent. */
  readonly opset?: number;
}

/**
 * The graph of a model that has only one. Throws what `convertHuggingFaceGraphs` throws, and `E_TASK` for a model of
 * several graphs.
 */
export async function convertHuggingFace(
  folder: HuggingFaceFolder,
  options: ConvertHuggingFaceOptions = {},
): Promise<Model> {
  const graphs = await convertHuggingFaceGraphs(folder, options);
  const [model] = graphs.values();
  if (model && graphs.size === 1) return model;
  throw new PenjingError('E_TASK', `${folder.architecture} becomes several graphs: ${[...graphs.keys()].join(', ')}`, {
    hint: 'Use convertHuggingFaceGraphs.',
  });
}

/**
 * The graphs of a model by the file names of transformers.js: `model`, or `encoder_model` and `decoder_model_merged`.
 * Throws `E_ARCHITECTURE` or `E_TASK` for what is not supported, `E_CONFIG` naming a field that is missing, wrong or
 * would change the mathematics, `E_WEIGHTS` naming tensors that are missing, misshapen or left over.
 */
export async function convertHuggingFaceGraphs(
  folder: HuggingFaceFolder,
  options: ConvertHuggingFaceOptions = {},
): Promise<ReadonlyMap<string, Model>> {
  const { dtype = 'float32', attention = 'gqa', opset = 21 } = options;
  const { blocks = attention === 'standard' ? 'float' : 'exact' } = options;
  oneOf('dtype', dtype, ['float32', 'float16']);
  oneOf('attention', attention, attentionForms);
  oneOf('blocks', blocks, blockPolicies);
  oneOf('opset', String(opset), Object.keys(irVersions));
  const { architecture, trained, task: usual, tasks } = findArchitecture(folder);
  const task = options.task ?? (options.pooling === undefined ? usual : 'sentence-similarity');
  if (!tasks.includes(task)) {
    throw new PenjingError('E_TASK', `${folder.architecture} cannot be converted for the task ${task}`, {
      hint: `Tasks of this checkpoint: ${tasks.join(', ')}.`,
    });
  }
  if (task !== 'sentence-similarity' && (options.pooling !== undefined || options.normalize)) {
    throw new PenjingError('E_OPTION', `pooling and normalize are for sentence-similarity, not for ${task}`);
  }
  const config = new Fields(folder.config, 'config.json');
  const weights = new Weights(folder.checkpoint, dtype, architecture);
  const quantization = config.inside('quantization_config');
  if (quantization) await weights.unpack(quantization);
  const steps = task === 'sentence-similarity' ? await sentenceSteps(folder, options) : undefined;
  for (const { module, checkpoint } of steps ?? []) if (checkpoint) weights.include(module, checkpoint);
  const tied = await tieEmbeddings(architecture, config, weights);
  // a choice is a text of one class, whose logits stand side by side
  const settings = task === 'multiple-choice' ? new Fields({ ...folder.config, id2label: { 0: 'LABEL_0' } }, config.where) : config;
  const network: Task = steps ? 'feature-extraction' : task;
  const graphs = Object.entries(architecture.graphs(network)).map(([name, plain]) => {
    const build = steps ? sentenceGraph(plain, steps) : plain;
    const model = new Model(new Graph('main_graph'));
    model.irVersion = irVersionOf(opset);
    model.opsetImports.set('', opset);
    build(new Network(model.graph, { weights, dtype, opset, attention, tied, blocks, task }), settings, task);
    // Clients that know nothing of com.microsoft must be able to see that they need not.
    if ([...allNodes(model.graph)].some(({ domain }) => domain === 'com.microsoft')) model.opsetImports.set('com.microsoft', 1);
    return [name, model] as const;
  });
  weights.assertAllTaken(unused(architecture, network, trained));
  return new Map(graphs);
}

async function tieEmbeddings({ tied }: Architecture, config: Fields, weights: Weights): Promise<boolean> {
  if (!tied) return false;
  return config.boolean('tie_word_embeddings', tied.byDefault) && (await weights.tie(tied.table, tied.head));
}

/** What may stay in the checkpoint: a head trained for one task is nothing to another. */
function unused({ ignoredWeights, backbone, unneeded }: Architecture, task: Task, trained: Task): readonly RegExp[] {
  if (task === trained) return ignoredWeights;
  const outside = backbone === undefined ? [] : [new RegExp(`^(?!${backbone}\\.)`)];
  return [...ignoredWeights, ...outside, ...(unneeded?.[task] ?? [])];
}

export interface FoundArchitecture {
  readonly architecture: Architecture;
  /** What the class in config.json was trained for. */
  readonly trained: Task;
  /** What it is converted for when nobody says. */
  readonly task: Task;
  /** What it can be converted for. */
  readonly tasks: readonly Task[];
}

/** Throws `E_ARCHITECTURE` naming what comes nearest among what is supported. */
export function findArchitecture(folder: HuggingFaceConfig): FoundArchitecture {
  const { architecture: name, modelType } = folder;
  for (const architecture of architectures) {
    const { classes, otherTasks = [] } = architecture;
    const known = Object.hasOwn(classes, name);
    // transformers itself goes by the type; the class only says what the weights were trained for
    if (!known && !(name === '' && modelType === architecture.modelType)) continue;
    const trained = known ? [classes[name]!] : Object.values(classes);
    const tasks = [...new Set([...trained, ...otherTasks])];
    // whatever head it was trained with, a folder that says how it embeds sentences is for that
    const embeds = tasks.includes('sentence-similarity') && embedsSentences(folder.modules);
    return { architecture, trained: trained[0]!, task: embeds ? 'sentence-similarity' : trained[0]!, tasks };
  }
  const supported = supportedClasses().map(({ className }) => className);
  const near = nearest(name || modelType, modelType);
  throw new PenjingError('E_ARCHITECTURE', `${name || modelType || 'a model without a class'} is not supported`, {
    hint: `${near.length > 0 ? `Nearest of what is: ${near.join(', ')}. ` : ''}All that convert are listed in docs/architectures.md; penjing inspect shows what is in the folder, and a model exported by torch.export (.pt2) converts whatever its class.`,
    details: { architecture: name, modelType, supported, nearest: near },
  });
}

/** Classes of the same kind of model first, then those spelled most alike. */
function nearest(name: string, modelType: string): readonly string[] {
  const scored = supportedClasses().map((row) => ({
    name: row.className,
    score: (row.modelType === modelType ? 1 : 0) + shared(row.className.toLowerCase(), name.slice(0, LONGEST_CLASS).toLowerCase()),
  }));
  return scored.filter(({ score }) => score > 0.5).sort((a, b) => b.score - a.score).slice(0, 5).map(({ name }) => name);
}

/** No class has a longer name; one in a hostile config may. */
const LONGEST_CLASS = 100;

/** The share of pairs of letters that two words have in common. */
function shared(a: string, b: string): number {
  const pairs = (word: string): Set<string> => new Set(Array.from({ length: Math.max(0, word.length - 1) }, (_, i) => word.slice(i, i + 2)));
  const [x, y] = [pairs(a), pairs(b)];
  const both = [...x].filter((pair) => y.has(pair)).length;
  return both === 0 ? 0 : (2 * both) / (x.size + y.size);
}

function oneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new PenjingError('E_OPTION', `${name} ${value} is not supported`, { hint: `Use one of ${allowed.join(', ')}.` });
}
