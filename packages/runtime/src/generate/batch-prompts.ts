/** Files of prompts, one a line, read as they are needed. */
import { createReadStream } from 'node:fs';
import { isPenjingError, PenjingError } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import type { Constraint } from '../constrain/constraint.js';
import type { ChatMessage } from '../tokenize/chat-template.js';
import type { GenerateOptions } from './options.js';

/** What goes on with a prompt of a batch: text, tokens, or a conversation; its own options go before those of the batch. */
export interface BatchPrompt {
  /** Told again with the result. */
  readonly id?: string | number | undefined;
  readonly prompt: string | readonly number[] | { readonly messages: readonly ChatMessage[] };
  readonly options?: Omit<GenerateOptions, 'onText' | 'signal'>;
}

/** A line that is no prompt: its result is this error. */
export interface WrongPrompt {
  readonly id?: string | number | undefined;
  readonly error: PenjingError;
}

/** Bytes of a line. A context of a million tokens has some 4 MB of text. */
const LONGEST_LINE = 2 ** 24;

/**
 * Prompts of a file: of a `.txt` every line that is not blank; of a `.jsonl` every line a text, or an object with `prompt` (or `text`), `messages` or `tokens`, perhaps an `id`, and options of `generate` by their
 * names. Throws `E_FORMAT` for other files; a line that is wrong is a `WrongPrompt`.
 */
export async function* readPrompts(path: string, signal?: AbortSignal): AsyncGenerator<BatchPrompt | WrongPrompt, void, undefined> {
  const parse = parserOf(path);
  for await (const line of linesOf(path, signal)) yield attempt(() => parse(textOf(line)), line.where);
}

/** How many `readPrompts` gives. */
export async function countPrompts(path: string, signal?: AbortSignal): Promise<number> {
  parserOf(path);
  let count = 0;
  for await (const _ of linesOf(path, signal)) count++;
  return count;
}

type Parser = (line: string) => BatchPrompt;

function parserOf(path: string): Parser {
  if (/\.txt$/i.test(path)) return (prompt) => ({ prompt });
  if (/\.(jsonl|ndjson)$/i.test(path)) return promptOf;
  throw new PenjingError('E_FORMAT', `${path} is neither .txt nor .jsonl`, { hint: 'Prompts are read from lines of text, or of JSON.' });
}

function attempt(body: () => BatchPrompt, where: string): BatchPrompt | WrongPrompt {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof WrongLine)) throw error;
    return { id: error.id, error: new PenjingError(error.code, `${where} ${error.message}`, { hint: HINT }) };
  }
}

const HINT = 'A line is a text, or as {"id": 1, "prompt": "…", "maxNewTokens": 20}.';

/** Before it is known where the line stands. */
class WrongLine extends Error {
  readonly code: `E_${string}`;
  readonly id: string | number | undefined;

  constructor(message: string, id?: string | number, code: `E_${string}` = 'E_DATA') {
    super(message);
    this.id = id;
    this.code = code;
  }
}

function promptOf(line: string): BatchPrompt {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new WrongLine('is not JSON');
  }
  if (typeof value === 'string') return { prompt: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new WrongLine('is no text and no object');
  const { id: given, ...fields } = value as Record<string, unknown>;
  const id = typeof given === 'string' || typeof given === 'number' ? given : undefined;
  if (given !== undefined && id === undefined) throw new WrongLine('has an id that is no text and no number');
  const present = Object.entries(fields).filter(([, each]) => each !== null);
  const asked = present.filter(([name]) => Object.hasOwn(prompts, name));
  const [first] = asked;
  if (!first || asked.length > 1) throw new WrongLine(`has ${asked.map(([name]) => name).join(' and ') || 'no prompt'}; one of ${Object.keys(prompts).join(', ')} is needed`, id);
  const told = present.filter(([name]) => !Object.hasOwn(prompts, name));
  const foreign = told.find(([name]) => !Object.hasOwn(options, name));
  if (foreign) throw new WrongLine(`has ${JSON.stringify(foreign[0])}, which is no option; options are ${Object.keys(options).join(', ')}`, id);
  const read = <T>(name: string, reader: Reader<T>, each: unknown): T => {
    const found = reader.read(each);
    if (found === undefined) throw new WrongLine(`has ${name} that is not ${reader.what}`, id);
    return found;
  };
  return {
    id,
    prompt: read(first[0], prompts[first[0]]!, first[1]),
    options: Object.fromEntries(told.map(([name, each]) => [name, read<unknown>(name, options[name as keyof typeof options], each)])),
  };
}

interface Reader<T> {
  readonly what: string;
  /** Undefined for what it is not. */
  readonly read: (value: unknown) => T | undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const isMessage = (value: unknown): value is ChatMessage => isRecord(value) && typeof value['role'] === 'string';
const listOf = <T>(isItem: (item: unknown) => item is T) => (value: unknown): T[] | undefined => (Array.isArray(value) && value.every(isItem) ? value : undefined);
const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => typeof value === 'number';
/** Whether it is in range says who uses it. */
const number: Reader<number> = { what: 'a number', read: (value) => (isNumber(value) ? value : undefined) };
const text: Reader<string> = { what: 'a text', read: (value) => (isText(value) ? value : undefined) };

const prompts: Readonly<Record<string, Reader<BatchPrompt['prompt']>>> = {
  prompt: text,
  text,
  messages: {
    what: 'a list of messages, each with a role',
    read: (value) => {
      const messages = listOf(isMessage)(value);
      return messages && messages.length > 0 ? { messages } : undefined;
    },
  },
  tokens: { what: 'a list of numbers', read: listOf(isNumber) },
};

const options: { readonly [Name in keyof Omit<GenerateOptions, 'onText' | 'signal' | 'speculate'>]-?: Reader<NonNullable<GenerateOptions[Name]>> } = {
  maxNewTokens: number,
  temperature: number,
  topK: number,
  topP: number,
  minP: number,
  repetitionPenalty: number,
  frequencyPenalty: number,
  presencePenalty: number,
  seed: number,
  logProbabilities: number,
  logitBias: { what: 'an object of numbers by token', read: (value) => (isRecord(value) && Object.values(value).every(isNumber) ? new Map(Object.entries(value).map(([token, bias]) => [Number(token), bias as number])) : undefined) },
  stop: { what: 'a text or a list of texts', read: (value) => (isText(value) ? [value] : listOf(isText)(value)) },
  stopTokens: { what: 'a list of numbers', read: listOf(isNumber) },
  ignoreEndToken: { what: 'true or false', read: (value) => (typeof value === 'boolean' ? value : undefined) },
  constrain: { what: 'an object with schema, regex or grammar', read: (value) => (isRecord(value) ? (value as unknown as Constraint) : undefined) },
};

interface Line {
  /** Without its end; undefined when it is longer than a line may be. */
  readonly bytes: Buffer | undefined;
  readonly where: string;
}

function textOf({ bytes }: Line): string {
  if (!bytes) throw new WrongLine(`takes more than ${LONGEST_LINE} bytes`, undefined, 'E_LIMIT');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new WrongLine('is not UTF-8');
  }
}

const isBlank = ({ bytes }: Line): boolean => bytes !== undefined && bytes.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));

/** Those that are not blank. No more of the file is in memory than a line. */
async function* linesOf(path: string, signal: AbortSignal | undefined): AsyncGenerator<Line, void, undefined> {
  const END = 0x0a;
  let parts: Buffer[] = [];
  let length = 0;
  let number = 0;
  const take = (last: Buffer): Line => {
    const whole = length + last.length > LONGEST_LINE ? undefined : Buffer.concat([...parts, last]);
    parts = [];
    length = 0;
    return { bytes: whole?.at(-1) === 0x0d ? whole.subarray(0, -1) : whole, where: `${path}:${++number}` };
  };
  try {
    for await (const chunk of createReadStream(path, { ...(signal && { signal }) }) as AsyncIterable<Buffer>) {
      let from = 0;
      for (let at = chunk.indexOf(END); at !== -1; at = chunk.indexOf(END, from)) {
        const line = take(chunk.subarray(from, at));
        from = at + 1;
        if (!isBlank(line)) yield line;
      }
      length += chunk.length - from;
      if (length <= LONGEST_LINE) parts.push(chunk.subarray(from));
      else parts = [];
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw isPenjingError(cause) ? cause : ioError(cause, path);
  }
  const rest = take(Buffer.alloc(0));
  if (!isBlank(rest)) yield rest;
}
