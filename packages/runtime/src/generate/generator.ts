/** Text generation with a converted language model: prompt in, text out, piece by piece if wanted. */
import { isPenjingError, PenjingError } from '@penjing/core';
import { grammarSource } from '../constrain/constraint.js';
import { GrammarThreads, type OpenGrammar } from '../constrain/grammar-threads.js';
import type { SessionOptions } from '../engine/settings.js';
import { type LanguageConfig, locateModel, readLanguageConfig } from '../model-folder.js';
import { type SessionHost, sessionHostFor } from '../session-host.js';
import type { ChatMessage, ChatTemplateOptions } from '../tokenize/chat-template.js';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import { decoderLayout } from '../worker/decoder-layout.js';
import type { Speculation } from '../worker/drafts.js';
import type { TokenEvent } from '../worker/generate.js';
import { PREFIX_BYTES } from '../worker/prefix-cache.js';
import { type OpenedDecoder, openDecoder } from './open-decoder.js';
import { DraftModels } from './draft-models.js';
import { checkedStops, choiceSeeds, type GenerateOptions, guessedTokens, samplingParams, tokenBudget } from './options.js';
import { createQueue } from './queue.js';
import { inRange } from './range.js';
import type { TokenProbability } from './sampler.js';
import { createStopMatcher } from './stop.js';

export interface GeneratorOptions extends SessionOptions {
  /** Which file of the folder: 'fp32' (model.onnx), 'fp16', 'q8', 'q4', 'q4f16', 'q2', or another suffix. */
  readonly variant?: string;
  /** Runs the graph as the file has it, which gives to the last digit what other programs with ONNX Runtime get, one text after the other and slower on long ones. */
  readonly asStored?: boolean;
  /** Bytes for keys and values of texts that were read before, so that one that begins alike goes on from there: 256 MiB when absent, 0 keeps none, up to 2^40. */
  readonly prefixCacheBytes?: number | undefined;
  /**
   * Keeps keys and values as bytes with a step for each channel, in a quarter of the room (half of float16): long texts go on sooner, prompts are read more slowly, and what is computed is a little less exact. The steps are found on a text of
   * ours while the model opens. As the model has them when absent; draft models always keep them so.
   */
  readonly kvCache?: 'int8' | undefined;
  readonly signal?: AbortSignal;
}

/** Text, or the ids of its tokens with all special tokens already in place. */
export type Prompt = string | readonly number[];

export interface TextPiece {
  /** Text that became certain with this token; may be empty. */
  readonly text: string;
  readonly token: number;
  /** Natural logarithm of the model's own probability of it, and those of the likeliest tokens there, when `logProbabilities` asks for them. */
  readonly logProbability?: number;
  readonly likeliest?: readonly TokenProbability[];
}

export interface Generation {
  readonly text: string;
  /** Generated tokens, without the one that ended the text. */
  readonly tokens: readonly number[];
  /** Of each of these tokens, when asked for. */
  readonly logProbabilities?: readonly number[];
  readonly promptTokens: number;
  /** 'end': the model ended it, or what it is held to allows nothing more; 'stop': a stop string or token; 'length': maxNewTokens. */
  readonly finishReason: 'end' | 'stop' | 'length';
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** With `speculate`: how many tokens were guessed, and how many of these were right. */
  readonly speculation?: { readonly drafted: number; readonly accepted: number };
}

export interface ChoicesOptions extends Omit<GenerateOptions, 'onText'> {
  /** Called with each token, and the number of the text that it belongs to. */
  readonly onPiece?: (piece: TextPiece, choice: number) => void;
  /** Called with each piece of text as it comes, and the number of the text that it belongs to. */
  readonly onText?: (text: string, choice: number) => void;
}

export interface Generator extends AsyncDisposable {
  readonly tokenizer: Tokenizer;
  /** Most tokens of prompt and text together, when the model says so. */
  readonly contextLength: number | undefined;
  generate(prompt: Prompt, options?: GenerateOptions): Promise<Generation>;
  /**
   * Several texts of one prompt, which is read once; the i-th has a seed of its own, made of `seed` and i, so the same seed gives the same texts.
   * Throws `E_OPTION` for a `count` that is not from 1 to 128.
   */
  choices(prompt: Prompt, count: number, options?: ChoicesOptions): Promise<readonly Generation[]>;
  /** The same, piece by piece; leaving the loop stops the generation. */
  stream(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<TextPiece, Generation, undefined>;
  /** Token ids of a conversation, ready to be a prompt. */
  chatPrompt(messages: readonly ChatMessage[], options?: ChatTemplateOptions): number[];
}

/** Loads a model folder (or the ONNX file in one) for generation. Throws `E_OPTION` for `prefixCacheBytes` out of range. */
export async function loadGenerator(path: string, options: GeneratorOptions = {}): Promise<Generator> {
  const prefixBytes = inRange('prefixCacheBytes', options.prefixCacheBytes, { min: 0, max: 2 ** 40, integer: true, fallback: PREFIX_BYTES });
  const { path: file, folder } = await locateModel(path, options.variant);
  const [tokenizer, config] = await Promise.all([loadTokenizer(folder), readLanguageConfig(folder)]);
  const host = sessionHostFor(options);
  try {
    const model = await openDecoder(host, file, options, options);
    if (!model.form) decoderLayout(model.session.inputs, model.session.outputs);
    const { signal: _signal, ...settings } = options;
    return new OrtGenerator(host, model, tokenizer, config, folder, { ...settings, prefixBytes });
  } catch (error) {
    await host.release(options.signal);
    throw error;
  }
}

/** The others in a batch wait for a mask; one of 256,000 tokens takes some milliseconds, which mostly pass beside the model's run. */
const MASK_PATIENCE_MS = 2_000;

class OrtGenerator implements Generator {
  readonly tokenizer: Tokenizer;
  readonly contextLength: number | undefined;
  readonly #host: SessionHost;
  readonly #model: OpenedDecoder;
  readonly #config: LanguageConfig;
  readonly #endTokens: readonly number[];
  readonly #grammars: GrammarThreads;
  readonly #drafts: DraftModels;
  readonly #prefixBytes: number;

  constructor(host: SessionHost, model: OpenedDecoder, tokenizer: Tokenizer, config: LanguageConfig, folder: string, { prefixBytes, ...options }: SessionOptions & { readonly prefixBytes: number }) {
    this.#prefixBytes = prefixBytes;
    this.#drafts = new DraftModels(host, tokenizer, options);
    this.#grammars = new GrammarThreads(folder);
    this.#host = host;
    this.#model = model;
    this.#config = config;
    this.tokenizer = tokenizer;
    this.contextLength = config.contextLength ?? tokenizer.maxLength;
    const named = tokenizer.eosToken === undefined ? undefined : tokenizer.idOf(tokenizer.eosToken);
    this.#endTokens = config.endTokens.length > 0 || named === undefined ? config.endTokens : [named];
  }

  generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Generation> {
    return this.#write(prompt, options);
  }

  async #write(prompt: Prompt, options: GenerateOptions, onPiece?: (piece: TextPiece) => void): Promise<Generation> {
    const stream = this.stream(prompt, options);
    for (;;) {
      const { done, value } = await stream.next();
      if (done) return value;
      onPiece?.(value);
    }
  }

  async choices(prompt: Prompt, count: number, { onText, onPiece, signal, ...options }: ChoicesOptions = {}): Promise<readonly Generation[]> {
    // One that fails ends the others.
    const failed = new AbortController();
    const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
    const texts = choiceSeeds(options.seed, count).map((seed, choice) => 
      this.#write(prompt, { ...options, seed, signal: either, ...(onText && { onText: (text: string) => onText(text, choice) }) }, onPiece && ((piece) => onPiece(piece, choice))),
    );
    try {
      return await Promise.all(texts);
    } catch (error) {
      failed.abort(error);
      await Promise.allSettled(texts);
      throw error;
    }
  }

  async *stream(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<TextPiece, Generation, undefined> {
    options.signal?.throwIfAborted();
    const ids = this.#promptIds(prompt);
    const maxNewTokens = tokenBudget(ids.length, options.maxNewTokens, this.contextLength);
    const own = options.ignoreEndToken ? [] : this.#endTokens;
    const checked = checkedStops(options, this.#vocabSize);
    const endTokens = [...own, ...checked.stopTokens];
    const text = this.tokenizer.stream(ids);
    const stops = createStopMatcher(checked.stop);
    const events = createQueue<TokenEvent>();
    const stop = new AbortController();
    const sampling = samplingParams(options);
    const speculation = await this.#speculationOf(options);
    const grammar = await this.#grammarOf(options);
    const call = this.#host.call(
      'generate',
      { handle: this.#model.handle, form: this.#model.form, prefixBytes: this.#prefixBytes, prompt: ids, maxNewTokens, endTokens, sampling, speculation, mask: grammar && { port: grammar.port, cells: grammar.cells, patience: grammar.patience } },
      { onEvent: events.push, stop: stop.signal, transfer: grammar ? [grammar.port] : [], ...(options.signal ? { signal: options.signal } : {}) },
    );
    if (grammar) call.then(() => grammar.release(), (error: unknown) => grammar.release(isPenjingError(error) && error.code === 'E_GRAMMAR'));
    call.then(events.end, events.fail);

    const tokens: number[] = [];
    const logProbabilities: number[] = [];
    let whole = '';
    let stopped = false;
    const emit = (piece: string): string => {
      whole += piece;
      if (piece !== '') options.onText?.(piece);
      return piece;
    };
    try {
      for await (const event of events) {
        for (const drawn of event.tokens) {
          const { token } = drawn;
          options.signal?.throwIfAborted();
          tokens.push(token);
          const found = stops.push(text.push(token));
          if (drawn.logProbability !== undefined) logProbabilities.push(drawn.logProbability);
          yield { ...drawn, text: emit(found.text) };
          stopped = found.stopped;
          if (stopped) break;
        }
        if (stopped) break;
      }
      if (!stopped) {
        const last = stops.push(text.end());
        stopped = last.stopped;
        const rest = emit(last.text + (stopped ? '' : stops.end()));
        if (rest !== '') yield { token: tokens.at(-1)!, text: rest };
      }
    } finally {
      stop.abort();
    }
    const { finish, endToken, prefillMs, decodeMs, speculation: guesses } = await call;
    const foreign = finish === 'end-token' && endToken !== undefined && !own.includes(endToken);
    const finishReason = stopped || foreign ? 'stop' : finish === 'end-token' || finish === 'complete' ? 'end' : 'length';
    return { text: whole, tokens, ...(options.logProbabilities !== undefined && { logProbabilities }), promptTokens: ids.length, finishReason, prefillMs, decodeMs, ...(guesses && { speculation: guesses }) };
  }

  chatPrompt(messages: readonly ChatMessage[], options?: ChatTemplateOptions): number[] {
    // Templates write the special tokens themselves.
    return this.tokenizer.encode(this.tokenizer.applyChatTemplate(messages, options), { specialTokens: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#host[Symbol.asyncDispose](), this.#grammars[Symbol.asyncDispose]()]).finally(() => Promise.all([this.#model.cleanup(), this.#drafts.cleanup()]));
  }

  async #speculationOf({ speculate }: GenerateOptions): Promise<Speculation | undefined> {
    if (!speculate) return undefined;
    const tokens = guessedTokens(speculate);
    if (!this.#model.form) throw new PenjingError('E_UNSUPPORTED', 'this model cannot take guesses back: it is run as it is stored', { hint: 'Leave speculate out, or load a converted decoder without asStored on the CPU.' });
    return speculate.draft === undefined ? { tokens, ngram: speculate.ngram } : { tokens, draft: await this.#drafts.get(speculate.draft) };
  }

  async #grammarOf({ constrain, signal }: GenerateOptions): Promise<(OpenGrammar & { readonly patience: number }) | undefined> {
    if (!constrain) return undefined;
    const { source, timeLimit } = grammarSource(constrain);
    return { ...(await this.#grammars.open(source, timeLimit, signal)), patience: Math.min(timeLimit, MASK_PATIENCE_MS) };
  }

  #promptIds(prompt: Prompt): readonly number[] {
    const ids = typeof prompt === 'string' ? this.tokenizer.encode(prompt) : prompt;
    if (ids.length === 0) {
      if (this.#config.bosToken !== undefined) return [this.#config.bosToken];
      throw new PenjingError('E_INPUT', 'the prompt is empty and the model has no token to begin with', { hint: 'Give it a word to start from.' });
    }
    const size = this.#vocabSize;
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
    if (wrong !== undefined) throw new PenjingError('E_INPUT', `prompt token ${wrong} is not in the vocabulary of ${size}`);
    return ids;
  }

  get #vocabSize(): number {
    return this.#config.vocabSize ?? this.tokenizer.vocabSize;
  }
}
