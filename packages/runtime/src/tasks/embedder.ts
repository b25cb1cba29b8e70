/** Embeddings of texts: pooled, and of length 1 where the model folder says so. */
import { PenjingError } from '@penjing/core';
import type { PoolingMode, Reduction } from '../worker/reduce.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import { chosenSteps, type EmbeddingConfig, type EmbeddingSteps, readEmbeddingConfig } from './embedding-config.js';
import { type LoadTaskOptions, outputNamed, type TaskModel } from './task-model.js';
import { openTextModel, overTexts, shortest, type TextBatch, type TextModel, type TextOptions } from './text-model.js';

export interface LoadEmbedderOptions extends LoadTaskOptions {
  /** How states of tokens become one, instead of what the folder says; several stand side by side. */
  readonly pooling?: PoolingMode | readonly PoolingMode[] | undefined;
  /** Embeddings of length 1; what the folder says when absent. */
  readonly normalize?: boolean | undefined;
}

export interface EmbedOptions extends TextOptions {
  /** Name of a prompt in config_sentence_transformers.json that goes before every text: `query`; its default when absent. */
  readonly prompt?: string | undefined;
}

export interface Embedder extends AsyncDisposable {
  readonly tokenizer: Tokenizer;
  readonly maxLength: number | undefined;
  readonly prompts: Readonly<Record<string, string>>;
  /** One embedding per text, in order. Throws `E_INPUT` naming a text that is too long. */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
}

export const POOLED_OUTPUTS = ['sentence_embedding', 'text_embeds'];
export const STATE_OUTPUTS = ['token_embeddings', 'last_hidden_state'];

/**
 * Loads a model folder that embeds texts: converted with its pooling (`--task sentence-similarity`), or one that gives the states of tokens, which are then pooled here. Throws
 * `E_TASK` for one that gives neither, and when nothing says how to pool.
 */
export async function loadEmbedder(path: string, options: LoadEmbedderOptions = {}): Promise<Embedder> {
  const model = await openTextModel(path, options);
  try {
    const config = await readEmbeddingConfig(model.folder);
    return new OrtEmbedder({ ...model, maxLength: shortest(model.maxLength, config.maxLength) }, config, planOf(model, config, options));
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

interface Plan {
  readonly output: string;
  /** Absent where the graph has pooled. */
  readonly steps: EmbeddingSteps | undefined;
  readonly normalize: boolean;
}

function planOf(model: TaskModel, config: EmbeddingConfig, { pooling, normalize }: LoadEmbedderOptions): Plan {
  const pooled = POOLED_OUTPUTS.find((name) => model.outputs.some((output) => output.name === name));
  if (pooled !== undefined && pooling === undefined) return { output: pooled, steps: undefined, normalize: normalize ?? false };
  const output = outputNamed(model, STATE_OUTPUTS, 'embeddings of texts');
  const steps = chosenSteps(config, pooling, normalize);
  if (!steps) {
    throw new PenjingError('E_TASK', `${model.folder} gives the states of tokens, and nothing says how they become one embedding`, {
      hint: 'Say it, for example pooling mean and normalize, or add modules.json and 1_Pooling/config.json of sentence-transformers.',
    });
  }
  if (config.others.length > 0 && pooling === undefined) {
    throw new PenjingError('E_TASK', `modules.json of ${model.folder} has ${config.others.join(', ')} after its network, which this graph lacks`, { hint: 'Convert the checkpoint with its modules: `penjing convert --task sentence-similarity`.' });
  }
  return { output, steps, normalize: steps.normalize };
}

class OrtEmbedder implements Embedder {
  readonly tokenizer: Tokenizer;
  readonly maxLength: number | undefined;
  readonly prompts: Readonly<Record<string, string>>;
  readonly #model: TextModel;
  readonly #config: EmbeddingConfig;
  readonly #plan: Plan;

  constructor(model: TextModel, config: EmbeddingConfig, plan: Plan) {
    this.tokenizer = model.tokenizer;
    this.maxLength = model.maxLength;
    this.prompts = config.prompts;
    this.#model = model;
    this.#config = config;
    this.#plan = plan;
  }

  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    const { output, steps, normalize } = this.#plan;
    const prompt = this.#promptOf(options.prompt);
    if (prompt !== '' && this.#config.steps?.includePrompt === false && !steps) {
      throw new PenjingError('E_UNSUPPORTED', 'the tokens of a prompt do not count in this model, and its graph cannot be told how many there are', { hint: 'Give the pooling (pooling: …), so that it is done outside of the graph.' });
    }
    const inputs = texts.map((text, i) => {
      if (typeof text !== 'string') throw new PenjingError('E_INPUT', `text ${i} is no text`);
      return prompt + (this.#config.lowerCase ? text.toLowerCase() : text);
    });
    const skipped = steps && !steps.includePrompt && prompt !== '' ? this.#promptTokens(prompt) : 0;
    return overTexts(this.#model, inputs, options, async (batch) => {
      const reduction: Reduction = steps ? { kind: 'pool', modes: steps.modes, mask: withoutPrompt(batch, skipped), real: batch.mask, normalize } : { kind: 'rows', normalize };
      const { values, width } = await this.#model.reduce(batch.feeds, output, reduction, options.signal);
      return batch.rows.map((_, i) => values.slice(i * width, (i + 1) * width));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#model[Symbol.asyncDispose]();
  }

  #promptOf(name: string | undefined): string {
    const { prompts, defaultPrompt } = this.#config;
    if (name === undefined) return defaultPrompt !== undefined && Object.hasOwn(prompts, defaultPrompt) ? prompts[defaultPrompt]! : '';
    if (Object.hasOwn(prompts, name)) return prompts[name]!;
    throw new PenjingError('E_OPTION', `the model folder has no prompt ${name}`, { hint: `It has ${Object.keys(prompts).join(', ') || 'none'}.` });
  }

  /** As sentence-transformers counts them: the prompt alone in the template, without what ends it. */
  #promptTokens(prompt: string): number {
    const { places } = this.#model.tokenizer.encodeInputs([prompt])[0]!;
    return places.at(-1) === -1 ? places.length - 1 : places.length;
  }
}

function withoutPrompt({ mask, rows, length }: TextBatch, skipped: number): Uint8Array {
  if (skipped === 0) return mask;
  const counted = mask.slice();
  for (const [b, { start }] of rows.entries()) counted.fill(0, b * length + start, b * length + start + skipped);
  return counted;
}
