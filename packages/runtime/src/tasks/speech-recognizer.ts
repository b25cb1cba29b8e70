/** What is said in a sound, by Whisper: spectrograms of windows, an encoder, and a decoder that writes the likeliest tokens. */
import { join } from 'node:path';
import { PenjingError, type TaskOptions } from '@penjing/core';
import { openFile } from '../engine/open.js';
import { locateModel } from '../model-folder.js';
import { SessionHost } from '../session-host.js';
import { loadTokenizer, readJson } from '../tokenize/tokenizer-files.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import { logMelJob, prepareSoundJob } from './prepare-sound.js';
import { runJobIn } from './run-job-in.js';
import { readSound, type SoundInput } from './sound-input.js';
import { type LoadTaskOptions, oneOf, wholeNumber } from './task-model.js';
import { readWhisperConfig, type WhisperConfig } from './whisper-config.js';

export interface TranscribeOptions {
  /** Code of the language that is spoken, `en`; heard from the sound when absent. Models of one language take none. */
  readonly language?: string | undefined;
  /** 'transcribe' writes what is said, 'translate' writes it in English; 'transcribe' when absent. */
  readonly task?: 'transcribe' | 'translate' | undefined;
  /** Most tokens per window; as many as the model can when absent. */
  readonly maxNewTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: TaskOptions['onProgress'] | undefined;
}

export interface TranscribedWindow {
  /** Seconds from the beginning. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly tokens: readonly number[];
  /** Code of the language, where the model knows several. */
  readonly language: string | undefined;
  /** False where the text was cut at `maxNewTokens`. */
  readonly ended: boolean;
}

export interface Transcription {
  readonly text: string;
  readonly windows: readonly TranscribedWindow[];
}

export interface SpeechRecognizer extends AsyncDisposable {
  /** Codes of the languages it can be told; empty for models of one language. */
  readonly languages: readonly string[];
  readonly windowSeconds: number;
  /**
   * Sounds that are longer than a window of the model (30 s) are cut at quiet places, and windows are written one after the other. Throws `E_INPUT` for samples that are no
   * numbers, `E_OPTION` for a language that the model does not know, `E_DECODER` for files that are not WAV.
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
    const { features, endToken, suppress, suppressFirst, languages, maxLength } = this.#config;
    const { signal, onProgress } = options;
    const prompt = this.#promptOf(options);
    const maxNewTokens = wholeNumber('maxNewTokens', options.maxNewTokens, maxLength - prompt.length, 1, maxLength - prompt.length);
    const { host, encoder, decoder } = this.#sessions;
    const { samples, starts } = await runJobIn(host, prepareSoundJob, { sound: await readSound(sound), rate: features.rate, window: features.length }, { signal });
    const windows: TranscribedWindow[] = [];
    for (const [i, start] of starts.entries()) {
      const end = starts[i + 1] ?? samples.length;
      if (end === start) break;
      const values = await runJobIn(host, logMelJob, { samples: samples.slice(start, end), shape: features }, { signal });
      const shape = [1, features.mels, Math.floor(features.length / features.hop)];
      const { tokens, language, ended } = await host.call(
        'transcribe',
        { encoder, decoder, features: { dtype: 'float32', shape, data: values.buffer as ArrayBuffer }, prompt, languages: [...languages.values()], suppress, suppressFirst, endToken, maxNewTokens },
        { transfer: [values.buffer as ArrayBuffer], ...(signal && { signal }) },
      );
      const heard = language ?? prompt[1];
      windows.push({ start: start / features.rate, end: end / features.rate, text: this.#tokenizer.decode(tokens).trim(), tokens, language: [...languages].find(([, id]) => id === heard)?.[0], ended });
      onProgress?.({ phase: 'listen', done: i + 1, total: starts.length, unit: 'windows' });
    }
    return { text: windows.map(({ text }) => text).filter((text) => text !== '').join(' '), windows };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions.host[Symbol.asyncDispose]();
  }

  /** Start, language (-1: to be heard), task, no timestamps. */
  #promptOf({ language, task }: TranscribeOptions): number[] {
    const { startToken, languages, tasks, noTimestamps } = this.#config;
    const wanted = oneOf('task', task, ['transcribe', 'translate'], 'transcribe');
    const end = noTimestamps === undefined ? [] : [noTimestamps];
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
