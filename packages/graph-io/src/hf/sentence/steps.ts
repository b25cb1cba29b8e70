/** The modules of sentence-transformers after the network: how each is read from its folder, and what it adds to a graph. */
import { type Checkpoint, PenjingError, type Value } from '@penjing/core';
import { openPytorch } from '../../pytorch/index.js';
import { openSafetensors } from '../../safetensors/index.js';
import { activations } from '../blocks/activation.js';
import { linear } from '../blocks/linear.js';
import { layerNorm } from '../blocks/norm.js';
import { Fields } from '../fields.js';
import { type ModelFolder, readJsonObject, within } from '../folder.js';
import type { Network } from '../network.js';
import type { SentenceModule, SentenceModules } from './modules.js';
import { pool, type PoolingShape } from './pooling.js';
import { readPooling } from './pooling-config.js';

/** float32; `token_embeddings` (batch, seq, width), `sentence_embedding` (batch, width). */
export interface Feature {
  readonly value: Value;
  readonly width: number;
}

export type FeatureName = 'token_embeddings' | 'sentence_embedding';

/** What the modules hand on to each other. */
export interface Features {
  /** int64 (batch, seq). */
  readonly mask: Value;
  readonly named: Map<FeatureName, Feature>;
}

export interface SentenceStep {
  /** Its weights under its own names. */
  readonly checkpoint?: Checkpoint | undefined;
  /** What its weights and nodes are named after. */
  readonly module: string;
  build(net: Network, features: Features): void;
}

interface StepFolder {
  readonly folder: ModelFolder;
  readonly module: string;
  readonly config: Fields;
}

/** Reads every module after the network. Throws `E_CONFIG` naming what is not supported, `E_FORMAT` for weights that are none. */
export async function openSteps({ folder, steps }: SentenceModules): Promise<SentenceStep[]> {
  return Promise.all(steps.map((step) => openStep(folder, step)));
}

async function openStep(root: ModelFolder, { type, path }: SentenceModule): Promise<SentenceStep> {
  if (!Object.hasOwn(readers, type)) {
    throw new PenjingError('E_CONFIG', `modules.json: the module ${type} is not supported`, {
      hint: `Supported here: ${Object.keys(readers).join(', ')}. --task feature-extraction converts the network before the modules.`,
      details: { type, path },
    });
  }
  const folder = path === '' ? root : within(root, path);
  const files = await folder.list();
  const values = files.includes('config.json') && path !== '' ? await readJsonObject(folder, 'config.json') : {};
  const module = path === '' ? type : path.replaceAll('/', '.');
  return readers[type]!({ folder, module, config: new Fields(values, path === '' ? 'modules.json' : `${path}/config.json`) }, files);
}

type StepReader = (step: StepFolder, files: readonly string[]) => Promise<SentenceStep> | SentenceStep;

const readers: Readonly<Record<string, StepReader>> = {
  Pooling: ({ module, config }) => poolingStep(module, config, readPooling(config.values, config.where)),
  Normalize: ({ module, config }) => normalizeStep(module, config),
  Dense: async (step, files) => denseStep(step, await weightsOf(step, files)),
  LayerNorm: async (step, files) => layerNormStep(step, await weightsOf(step, files)),
  Dropout: ({ module }) => ({ module, build: () => undefined }),
};

export function poolingStep(module: string, config: Fields, shape: PoolingShape): SentenceStep {
  const field = config.has('embedding_dimension') ? 'embedding_dimension' : 'word_embedding_dimension';
  return {
    module,
    build(net, { named, mask }) {
      const { value, width } = named.get('token_embeddings')!;
      if (config.size(field, width) !== width) throw config.wrong(field, `the width of the tokens before it, ${width}`);
      named.set('sentence_embedding', { value: pool(net, value, mask, shape), width: width * shape.modes.length });
    },
  };
}

/** x / max(|x|, 1e-12). */
export function normalizeStep(module: string, config: Fields): SentenceStep {
  const ports = readPorts(config);
  return {
    module,
    build: (net, features) => through(features, ports, config, ({ value, width }) => {
      const length = net.op('ReduceL2', [value, net.ints([-1])], { keepdims: 1 });
      return { value: net.op('Div', [value, net.op('Max', [length, net.float32(1e-12)])]), width };
    }),
  };
}

/** Classes of torch.nn, without their package. */
const DENSE_ACTIVATIONS = {
  Tanh: activations.tanh,
  Identity: (_: Network, x: Value): Value => x,
  ReLU: activations.relu,
  GELU: activations.gelu,
  SiLU: activations.silu,
  Sigmoid: (net: Network, x: Value): Value => net.op('Sigmoid', [x]),
} as const;

function denseStep({ module, config }: StepFolder, checkpoint: Checkpoint | undefined): SentenceStep {
  const [inputs, outputs] = [config.size('in_features'), config.size('out_features')];
  const bias = config.boolean('bias', true);
  const residual = config.boolean('use_residual', false);
  const given = config.get('activation_function') ?? 'torch.nn.modules.activation.Tanh';
  const name = typeof given === 'string' && given.startsWith('torch.nn.') ? given.slice(given.lastIndexOf('.') + 1) : '';
  const known = Object.keys(DENSE_ACTIVATIONS).map((each) => `torch.nn.${each}`).join(', ');
  if (!Object.hasOwn(DENSE_ACTIVATIONS, name)) throw config.wrong('activation_function', `one of ${known}`);
  const activation = DENSE_ACTIVATIONS[name as keyof typeof DENSE_ACTIVATIONS];
  const ports = readPorts(config);
  return {
    module,
    checkpoint,
    build: (net, features) => through(features, ports, config, ({ value, width }) => {
      if (width !== inputs) throw config.wrong('in_features', `the width of the embedding before it, ${width}`);
      const x = net.narrow(value);
      const y = activation(net, linear(net, 'linear', x, { inputs, outputs, bias }));
      if (!residual) return { value: net.widen(y), width: outputs };
      const beside = inputs === outputs ? x : linear(net, 'residual', x, { inputs, outputs, bias: false });
      return { value: net.widen(net.op('Add', [y, beside])), width: outputs };
    }),
  };
}

function layerNormStep({ module, config }: StepFolder, checkpoint: Checkpoint | undefined): SentenceStep {
  const width = config.size('dimension');
  return {
    module,
    checkpoint,
    build: (net, features) => through(features, SENTENCE, config, (x) => {
      if (x.width !== width) throw config.wrong('dimension', `the width of the embedding before it, ${x.width}`);
      return { value: net.widen(layerNorm(net, 'norm', net.narrow(x.value), { width, epsilon: 1e-5 })), width };
    }),
  };
}

interface Ports {
  readonly from: FeatureName;
  readonly to: FeatureName;
}

const SENTENCE: Ports = { from: 'sentence_embedding', to: 'sentence_embedding' };
const FEATURES: Readonly<Record<FeatureName, true>> = { token_embeddings: true, sentence_embedding: true };

function readPorts(config: Fields): Ports {
  const from = config.choice('module_input_name', FEATURES, 'sentence_embedding');
  return { from, to: config.choice('module_output_name', FEATURES, from) };
}

function through({ named }: Features, { from, to }: Ports, { where }: Fields, body: (x: Feature) => Feature): void {
  const x = named.get(from);
  if (!x) throw new PenjingError('E_CONFIG', `${where}: there is no ${from} yet`, { hint: 'modules.json has its modules in another order.' });
  named.set(to, body(x));
}

async function weightsOf({ folder }: StepFolder, files: readonly string[]): Promise<Checkpoint> {
  if (files.includes('model.safetensors')) return openSafetensors(await folder.open('model.safetensors'));
  if (files.includes('pytorch_model.bin')) return openPytorch(await folder.open('pytorch_model.bin'));
  throw new PenjingError('E_WEIGHTS', `${folder.name} has no weights: neither model.safetensors nor pytorch_model.bin`, { hint: 'Download the folders of the modules too.' });
}
