/** The parameters of generation as the reader typed them, shared by chat and text. */
import { computed, signal } from '@preact/signals';
import type { GenerationParameters } from '../api/generation.js';

export interface TypedParameters {
  readonly system: string;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number | undefined;
  readonly maxTokens: number | undefined;
  readonly seed: number | undefined;
  /** One per line. */
  readonly stop: string;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly schema: string;
}

export const defaultParameters: TypedParameters = {
  system: '',
  temperature: 0.7,
  topP: 0.95,
  topK: undefined,
  maxTokens: 256,
  seed: undefined,
  stop: '',
  frequencyPenalty: 0,
  presencePenalty: 0,
  schema: '',
};

export const typed = signal<TypedParameters>(defaultParameters);

export function setParameter<K extends keyof TypedParameters>(name: K, value: TypedParameters[K]): void {
  typed.value = { ...typed.value, [name]: value };
}

/** The schema as an object; `invalid` when something is written that is none. */
export const schema = computed<Readonly<Record<string, unknown>> | 'invalid' | undefined>(() => {
  const text = typed.value.schema.trim();
  if (text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : 'invalid';
  } catch {
    return 'invalid';
  }
});

export const parameters = computed<GenerationParameters>(() => {
  const { system: _system, stop, schema: _schema, ...numbers } = typed.value;
  return { ...numbers, stop: parseStops(stop), schema: schema.value === 'invalid' ? undefined : schema.value };
});

/** Lines that are not empty, at most four, with `\n` and `\t` written out. */
export function parseStops(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/\\([nt\\])/g, (_, letter: string) => ({ n: '\n', t: '\t', '\\': '\\' })[letter]!))
    .filter((line) => line !== '')
    .slice(0, 4);
}
