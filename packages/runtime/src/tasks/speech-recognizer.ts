/** What is said in a sound, by Whisper: spectrograms of windows, an encoder, and a decoder that writes tokens. */
import { join } from 'node:path';
import { PenjingError, type TaskOptions } from '@penjing/core';
import { openFile } from '../engine/open.js';
import { locateModel } from '../model-folder.js';
import { SessionHost } from '../session-host.js';
import { loadTokenizer, readJson } from '../tokenize/tokenizer-files.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import type { TextQuality } from '../worker/transcribe.js';
import { prepareSoundJob } from './prepare-sound.js';
import { runJobIn } from './run-job-in.js';
import { readSound, type SoundInput } from './sound-input.js';
import { type LoadTaskOptions, oneOf } from './task-model.js';
import { type Heard, type Listened, windowsByQuiet, windowsByTime } from './transcribe-windows.js';
import { readWhisperConfig, type WhisperConfig } from './whisper-config.js';
import { checkedPlan, FALLBACK, GREEDY, type WritingPlan } from './writing-plan.js';

export interface TranscribeOptions {
  /** Code of the language that is spoken, `en`; heard from the sound when absent. Models of one language take none. */
  readonly language?: string | undefined;
  /** 'transcribe' writes what is said, 'translate' writes it in English; 'transcribe' when absent. */
  readonly task?: 'transcribe' | 'translate' | undefined;
  /** Most tokens per window; as many as the model can when absent. */
  readonly maxNewTokens?: number | undefined;
  /**
   * Times within windows. Each window then begins where the one before it was understood to, and `segments` has sentences with their times; without, long sounds are cut at quiet
   * places. True for sounds longer than a window when absent, where the model knows times.
   */
  readonly timestamps?: boolean | undefined;
  /** Tried in order until a text is good enough. With times 0, 0.2, 0.4, 0.6, 0.8 and 1 when absent, 0 alone without. */
  readonly temperatures?: readonly number[] | undefined;
  /** A text whose tokens zlib makes smaller by more than this factor is tried again; 1.35 when absent. False does not look. */
  readonly compressionRatioThreshold?: number | false | undefined;
  /** A text that is less likely than this (natural logarithm, mean of its tokens) is tried again; -1 when absent. False does not look. */
  readonly logProbabilityThreshold?: number | false | undefined;
  /** An unlikely text is dropped where nobody speaks with more than this probability; 0.6 when absent. False does not look. */
  readonly noSpeechThreshold?: number | false | undefined;
  /** The decoder reads what it wrote before, unless that was at a temperature of 0.5 or more; false when absent. With times alone. */
  readonly conditionOnPrevious?: boolean | undefined;
  /** Of temperatures above 0; 0 when absent. */
  readonly seed?: number | undefined;
  /** Called with each window as soon as it is written. */
  readonly onWindow?: ((window: TranscribedWindow) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: TaskOptions['onProgress'] | undefined;
}

export interface TranscribedSegment {
  /** Seconds from the beginning. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** With the times at either end. */
  readonly tokens: readonly number[];
}

export interface TranscribedWindow extends TextQuality {
  /** Seconds from the beginning. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly tokens: readonly number[];
  /** With `timestamps`: none where nobody speaks. */
  readonly segments: readonly TranscribedSegment[];
  /** Code of the language, where the model knows several. */
  readonly language: string | undefined;
  /** False where the text was cut at `maxNewTokens`. */
  readonly ended: boolean;
  /** Nobody speaks, by the thresholds; then there is no text. */
  readonly silent: boolean;
}

export interface Transcription {
  readonly text: string;
  readonly windows: readonly TranscribedWindow[];
  /** Of all windows. */
  readonly segments: readonly TranscribedSegment[];
}

export interface SpeechRecognizer extends AsyncDisposable {
  /** Codes of the languages it can be told; empty for models of one language. */
  readonly languages: readonly string[];
  readonly windowSeconds: number;
  /**
   * Sounds that are longer than a window of the model (30 s) are written window after window, see `timestamps`. Throws `E_INPUT` for samples that are no numbers, `E_OPTION` for a
   * language that the model does not know, `E_DECODER` for files that are not WAV.
   */
  transcribe(sound: SoundInput, options?: TranscribeOptions): Promise<Transcription>;
}

interface Sessions {
  readonly host: SessionHost;
  readonly encoder: number;
  readonly decoder: number;
}

/** Loads a converted Whisper folder: onnx/encoder_model.onnx and onnx/decoder_model_merged.onnx. Throws `E_NOT_FOUND`, `E_TASK`, `E_CONFIG`. */
export async function loadSpeechRecognizer(path: string, { variant, signal, ...session }: LoadTaskOptions = {}): Promise<SpeechRecognizer> {
  const { path: encoderFile, folder } = await locateModel(path, variant, 'encoder_model');
  const { path: decoderFile } = await locateModel(path, variant, 'decoder_model_merged');
  const [tokenizer, config] = await Promise.all([loadTokenizer(folder), readJson(join(folder, 'config.json'))]);
  const whisper = await readWhisperConfig(folder, config ?? {});
  const host = new SessionHost();
  try {
    // the two take turns: idle threads of one must not keep the other's waiting
    const options = { ...session, spin: false, ...(signal && { signal }) };
    const encoder = await openFile(host, encoderFile, options);
    const decoder = await openFile(host, decoderFile, options);
    const has = (values: readonly { readonly name: string }[], name: string): boolean => values.some((value) => value.name === name);
    if (!has(encoder.inputs, 'input_features') || !has(encoder.outputs, 'last_hidden_state') || !has(decoder.inputs, 'encoder_hidden_states') || !has(decoder.inputs, 'use_cache_branch')) {
      throw new PenjingError('E_TASK', `${folder} does not hear: its encoder reads ${encoder.inputs.map(({ name }) => name).join(', ')}`, { hint: 'Convert a Whisper checkpoint.' });
    }
    return new Whisper({ host, encoder: encoder.handle, decoder: decoder.handle }, tokenizer, whisper);
  } catch (error) {
    await host.release(signal);
    throw error;
  }
}

class Whisper implements SpeechRecognizer {
  readonly languages: readonly string[];
  readonly windowSeconds: number;
  readonly #sessions: Sessions;
  readonly #tokenizer: Tokenizer;
  readonly #config: WhisperConfig;

  constructor(sessions: Sessions, tokenizer: Tokenizer, config: WhisperConfig) {
    this.languages = [...config.languages.keys()];
    this.windowSeconds = config.features.length / config.features.rate;
    this.#sessions = sessions;
    this.#tokenizer = tokenizer;
    this.#config = config;
  }

  async transcribe(sound: SoundInput, options: TranscribeOptions = {}): Promise<Transcription> {
    const { features, times } = this.#config;
    if (options.timestamps === true && times === undefined) throw new PenjingError('E_OPTION', 'this model does not know times: timestamps cannot be written');
    const plan = checkedPlan(options, this.#config);
    const given = await readSound(sound);
    const { samples, starts } = await runJobIn(this.#sessions.host, prepareSoundJob, { sound: given, rate: features.rate, window: features.length }, { signal: options.signal });
    const timed = options.timestamps ?? (times !== undefined && starts.length > 1);
    const prompt = this.#promptOf(options, timed);
    const listener = { host: this.#sessions.host, config: this.#config, listen: (part: Listened) => this.#listen(part, prompt, timed, plan, options) };
    const found = timed ? windowsByTime(listener, samples, options) : windowsByQuiet(listener, samples, starts, options);
    const windows: TranscribedWindow[] = [];
    for await (const window of found) {
      windows.push(window);
      options.onWindow?.(window);
    }
    const segments = windows.flatMap((window) => window.segments);
    const text = timed ? this.#textOf(segments.flatMap(({ tokens }) => tokens)) : windows.map((window) => window.text).filter((each) => each !== '').join(' ');
    return { text, windows, segments };
  }

  /** One window. */
  async #listen({ values, previous, language: told }: Listened, prompt: readonly number[], timed: boolean, plan: WritingPlan, { signal, maxNewTokens }: TranscribeOptions): Promise<Heard> {
    const { features, endToken, suppress, suppressFirst, languages, maxLength, noTimestamps, times } = this.#config;
    const { host, encoder, decoder } = this.#sessions;
    const known = told === undefined ? undefined : languages.get(told);
    const begun = prompt.map((token) => (token === -1 && known !== undefined ? known : token));
    const room = maxLength - begun.length - previous.length;
    const { language, ...written } = await host.call(
      'transcribe',
      {
        encoder, decoder, features: { dtype: 'float32', shape: [1, features.mels, Math.floor(features.length / features.hop)], data: values.buffer as ArrayBuffer }, prompt: begun, previous,
        languages: [...languages.values()], suppress, suppressFirst, endToken, maxNewTokens: Math.min(maxNewTokens ?? room, room),
        times: timed ? { begin: times!.begin, maxInitial: times!.maxInitial, noTimestamps: noTimestamps! } : undefined,
        temperatures: plan.temperatures ?? (timed ? FALLBACK : GREEDY), thresholds: plan.thresholds, noSpeechToken: noTimestamps === undefined ? undefined : noTimestamps - 1, seed: plan.seed,
      },
      { transfer: [values.buffer as ArrayBuffer], ...(signal && { signal }) },
    );
    const heard = language ?? begun[1];
    return { ...written, language: [...languages].find(([, id]) => id === heard)?.[0], text: (tokens) => this.#textOf(tokens) };
  }

  #textOf(tokens: readonly number[]): string {
    const begin = this.#config.times?.begin ?? Infinity;
    return this.#tokenizer.decode(tokens.filter((token) => token < begin)).trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions.host[Symbol.asyncDispose]();
  }

  /** Start, language (-1: to be heard), task, no timestamps. */
  #promptOf({ language, task }: TranscribeOptions, timed: boolean): number[] {
    const { startToken, languages, tasks, noTimestamps } = this.#config;
    const wanted = oneOf('task', task, ['transcribe', 'translate'], 'transcribe');
    const end = noTimestamps === undefined || timed ? [] : [noTimestamps];
    if (languages.size === 0) {
      if (language !== undefined || wanted === 'translate') throw new PenjingError('E_OPTION', 'this model knows one language: it takes no language and does not translate');
      return [startToken, ...end];
    }
    const code = language?.toLowerCase().replace(/^<\||\|>$/g, '');
    const spoken = code === undefined ? -1 : languages.get(code);
    if (spoken === undefined) throw new PenjingError('E_OPTION', `this model does not know the language ${language}`, { hint: `It knows ${this.languages.join(', ')}.` });
    const id = tasks.get(wanted);
    if (id === undefined) throw new PenjingError('E_OPTION', `this model does not ${wanted}`, { hint: `generation_config.json has ${[...tasks.keys()].join(', ') || 'no tasks'}.` });
    return [startToken, spoken, id, ...end];
  }
}
