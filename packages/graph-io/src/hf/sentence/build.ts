/** Puts the steps of sentence-transformers behind a network of text: states of tokens, and one embedding of the text. */
import { PenjingError, tensorType } from '@penjing/core';
import type { BuildGraph } from '../architecture.js';
import { Fields } from '../fields.js';
import type { HuggingFaceFolder } from '../open.js';
import type { Network } from '../network.js';
import { embedsSentences } from './modules.js';
import { poolingModes, type PoolingMode } from './pooling.js';
import { type Features, normalizeStep, openSteps, poolingStep, type SentenceStep } from './steps.js';

export interface SentenceOptions {
  /** How states of tokens become one, instead of what the folder says; several side by side. */
  readonly pooling?: PoolingMode | readonly PoolingMode[] | undefined;
  /** Embeddings of length 1, after `pooling`. */
  readonly normalize?: boolean | undefined;
}

/**
 * The steps of a folder, or those that the options say. Throws `E_TASK` when neither says any, `E_OPTION` for an unknown mode, and what
 * reading the modules throws.
 */
export async function sentenceSteps({ folder, modules }: HuggingFaceFolder, { pooling, normalize = false }: SentenceOptions): Promise<SentenceStep[]> {
  if (pooling !== undefined) {
    const modes = typeof pooling === 'string' ? [pooling] : pooling;
    const unknown = modes.find((mode) => !Object.hasOwn(poolingModes, mode));
    if (unknown !== undefined || modes.length === 0) {
      throw new PenjingError('E_OPTION', `pooling ${unknown ?? 'of no kind'} is not supported`, { hint: `Use one or several of ${Object.keys(poolingModes).join(', ')}.` });
    }
    const none = new Fields({}, 'pooling');
    return [poolingStep('pooling', none, { modes, promptInput: false }), ...(normalize ? [normalizeStep('normalize', none)] : [])];
  }
  if (normalize) throw new PenjingError('E_OPTION', 'normalize is for a pooling that is said too', { hint: 'For example --pooling mean --normalize.' });
  if (modules && embedsSentences(modules)) return openSteps(modules);
  const other = modules?.steps.map(({ type }) => type).join(', ');
  throw new PenjingError('E_TASK', modules ? `modules.json of ${folder.name} has no Pooling${other ? `, but ${other}` : ''}` : `${folder.name} has no modules.json: nothing says how the states of its tokens become one embedding`, {
    hint: 'Say it, for example --pooling mean --normalize, or add modules.json and 1_Pooling/config.json of sentence-transformers.',
  });
}

/**
 * `build`, which gives `last_hidden_state` of texts, with `steps` after it. Outputs as Optimum names them: `token_embeddings`
 * (batch, seq, width) and `sentence_embedding` (batch, width), float32.
 */
export function sentenceGraph(build: BuildGraph, steps: readonly SentenceStep[]): BuildGraph {
  return (net, config) => {
    build(net, config, 'feature-extraction');
    const { features, axes } = textFeatures(net);
    for (const step of steps) net.module(step.module, () => step.build(net, features));
    const tokens = features.named.get('token_embeddings')!;
    const sentence = features.named.get('sentence_embedding');
    if (!sentence) throw new PenjingError('E_CONFIG', 'modules.json: no module gives a sentence_embedding');
    net.builder.output(tokens.value, 'token_embeddings', tensorType('float32', [...axes, tokens.width]));
    net.builder.output(sentence.value, 'sentence_embedding', tensorType('float32', [axes[0]!, sentence.width]));
  };
}

/** Takes `last_hidden_state` back from the outputs. */
function textFeatures({ builder: { graph } }: Network): { readonly features: Features; readonly axes: readonly (string | number)[] } {
  const mask = graph.inputs.find(({ name }) => name === 'attention_mask');
  const last = graph.outputs.pop();
  const shape = last?.type?.kind === 'tensor' ? last.type.shape : undefined;
  const width = shape?.[2];
  if (!mask || last?.name !== 'last_hidden_state' || graph.outputs.length > 0 || typeof width !== 'number') {
    throw new PenjingError('E_TASK', 'sentence-similarity is for networks that give the states of the tokens of a text alone');
  }
  return { features: { mask, named: new Map([['token_embeddings', { value: last, width }]]) }, axes: shape!.slice(0, 2) as (string | number)[] };
}
