/** A model that reads texts: its tokenizer, how long a text may be, and batches of texts padded to one length. */
import { denseOf, type DenseTensor, type Feeds, PenjingError, type TaskOptions, type ValueInfo } from '@penjing/core';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';
import type { EncodedInput, TextInput } from '../tokenize/encode-inputs.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import { isList, type LoadTaskOptions, openTaskModel, type TaskModel, wholeNumber } from './task-model.js';

export interface TextOptions {
  /** Most texts in a run; 32 when absent. */
  readonly batchSize?: number | undefined;
  /** Cuts texts that are longer than the model reads; they are refused when absent. */
  readonly truncate?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: TaskOptions['onProgress'] | undefined;
}

export interface TextModel extends TaskModel {
  readonly tokenizer: Tokenizer;
  /** Most tokens of an input, special ones included, when the folder says so. */
  readonly maxLength: number | undefined;
}

export async function openTextModel(path: string, options: LoadTaskOptions): Promise<TextModel> {
  const model = await openTaskModel(path, options);
  try {
    const tokenizer = await loadTokenizer(model.folder);
    checkInputs(model);
    return { ...model, tokenizer, maxLength: shortest(tokenizer.maxLength, positionsOf(model.config), fixed(inputNamed(model, 'input_ids'), 1)) };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

export function shortest(...lengths: readonly (number | undefined)[]): number | undefined {
  const known = lengths.filter((length) => length !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** These count places from `pad_token_id + 1` on, so that their tables hold more rows than texts have tokens. */
const OFFSET = /^(roberta|xlm-roberta|camembert|mpnet|roberta-prelayernorm|xlm-roberta-xl|longformer)$/;

function positionsOf(config: Readonly<Record<string, unknown>>): number | undefined {
  const { max_position_embeddings: places, model_type: type, pad_token_id: pad = 1 } = config;
  if (typeof places !== 'number' || !Number.isInteger(places) || places < 1) return undefined;
  const offset = typeof type === 'string' && OFFSET.test(type) && typeof pad === 'number' ? pad + 1 : 0;
  return Math.max(1, places - offset);
}

export const TEXT_INPUTS = ['input_ids', 'attention_mask', 'token_type_ids', 'position_ids'] as const;

function checkInputs({ inputs, folder }: TaskModel): void {
  const foreign = inputs.filter(({ name }) => !(TEXT_INPUTS as readonly string[]).includes(name));
  if (foreign.length === 0 && inputs.some(({ name }) => name === 'input_ids')) return;
  throw new PenjingError('E_TASK', `${folder} reads ${inputs.map(({ name }) => name).join(', ')}: not just a text`, {
    hint: foreign.some(({ name }) => name.startsWith('past_key_values')) ? 'It writes texts (`penjing generate`). Convert it for another task: `penjing convert --task …`.' : 'Convert the checkpoint for the task: `penjing convert --task …`.',
  });
}

export function inputNamed({ inputs }: Pick<TaskModel, 'inputs'>, name: string): ValueInfo | undefined {
  return inputs.find((input) => input.name === name);
}

export function fixed(input: ValueInfo | undefined, axis: number): number | undefined {
  const dim = input?.type.kind === 'tensor' ? input.type.shape?.[axis] : undefined;
  return typeof dim === 'number' && dim > 0 ? dim : undefined;
}

/** A batch that is ready to run. */
export interface TextBatch {
  readonly feeds: Feeds;
  /** Of the real rows, in order; graphs of a fixed batch get more rows than there are. */
  readonly rows: readonly TextRow[];
  /** Tokens a row is padded to. */
  readonly length: number;
  /** (batch · length): 1 for tokens, 0 for padding; of all rows that are run. */
  readonly mask: Uint8Array;
}

export interface TextRow extends EncodedInput {
  /** Which of the given texts. */
  readonly index: number;
  /** Where its tokens begin among the `length` of the batch. */
  readonly start: number;
}

/** Positions of a run: 256 texts of 64 tokens, or 2 of 8,192. The states of a base-size model then take some 100 MB. */
const MAX_POSITIONS = 2 ** 14;

/**
 * Runs `each` on batches of texts of like length, and gives its results in the order of the texts. While one batch is run the next is tokenized, so the calling thread is never
 * held for longer than one batch takes to tokenize.
 */
export async function overTexts<Result>(model: TextModel, inputs: readonly TextInput[], options: TextOptions, each: (batch: TextBatch) => Promise<readonly Result[]>): Promise<Result[]> {
  if (!isList(inputs)) throw new PenjingError('E_INPUT', 'texts are given as a list of strings');
  const { signal, onProgress, truncate } = options;
  const fixedBatch = fixed(inputNamed(model, 'input_ids'), 0);
  const size = fixedBatch ?? wholeNumber('batchSize', options.batchSize, 32, 1, 4096);
  const order = inputs.map((_, index) => index).sort((a, b) => sizeOf(inputs[b]!) - sizeOf(inputs[a]!));
  const results = new Array<Result>(inputs.length);
  let running: Promise<void> | undefined;
  let done = 0;
  const start = async (batch: TextBatch): Promise<void> => {
    const found = await each(batch);
    for (const [i, { index }] of batch.rows.entries()) results[index] = found[i]!;
    done += batch.rows.length;
    onProgress?.({ phase: 'run', done, total: inputs.length, unit: 'texts' });
  };
  try {
    for (let at = 0; at < order.length; at += size) {
      signal?.throwIfAborted();
      const chosen = order.slice(at, at + size);
      const encoded = model.tokenizer.encodeInputs(chosen.map((index) => inputs[index]!), { maxLength: model.maxLength, truncate, nameOf: (i) => `text ${chosen[i]}` });
      const rows = encoded.map((row, i) => ({ ...row, index: chosen[i]! }));
      for (const batch of batchesOf(model, rows, fixedBatch)) {
        await running;
        running = start(batch);
        // awaited in the next round, which may not come
        running.catch(() => {});
      }
    }
    await running;
  } catch (error) {
    await running?.catch(() => {});
    throw error;
  }
  return results;
}

function sizeOf(input: TextInput): number {
  return typeof input === 'string' ? input.length : String(input?.text).length + String(input?.pair).length;
}

function* batchesOf(model: TextModel, rows: readonly Omit<TextRow, 'start'>[], fixedBatch: number | undefined): Generator<TextBatch> {
  const fixedLength = fixed(inputNamed(model, 'input_ids'), 1);
  for (let at = 0; at < rows.length; ) {
    let [end, longest] = [at, 1];
    while (end < rows.length) {
      const next = Math.max(longest, rows[end]!.ids.length);
      if (end > at && (end - at + 1) * next > MAX_POSITIONS && fixedBatch === undefined) break;
      longest = next;
      end++;
    }
    yield padded(model, rows.slice(at, end), fixedLength ?? longest, fixedBatch ?? end - at);
    at = end;
  }
}

/** Rows padded to `length` at the side that the tokenizer says; the last is repeated until there are `batch`. */
export function padded(model: Pick<TextModel, 'inputs' | 'tokenizer'>, given: readonly Omit<TextRow, 'start'>[], length: number, batch: number): TextBatch {
  const { padding, inputNames } = model.tokenizer;
  const typed = inputNames?.includes('token_type_ids') ?? true;
  const rows = given.map((row) => ({ ...row, start: padding.side === 'left' ? length - row.ids.length : 0 }));
  const ids = new Array<number>(batch * length).fill(padding.id);
  const [types, places] = [new Array<number>(batch * length).fill(0), new Array<number>(batch * length).fill(0)];
  const mask = new Uint8Array(batch * length);
  for (let b = 0; b < batch; b++) {
    const row = rows[Math.min(b, rows.length - 1)]!;
    for (const [i, id] of row.ids.entries()) {
      const at = b * length + row.start + i;
      [ids[at], types[at], places[at], mask[at]] = [id, typed ? row.types[i]! : 0, i, 1];
    }
  }
  const values = { input_ids: ids, attention_mask: [...mask], token_type_ids: types, position_ids: places };
  const feeds: Record<string, DenseTensor> = {};
  for (const name of TEXT_INPUTS) {
    const input = inputNamed(model, name);
    if (!input) continue;
    const dtype = (input.type.kind === 'tensor' ? input.type.dtype : undefined) ?? 'int64';
    feeds[name] = denseOf(dtype, [batch, length], values[name]);
  }
  return { feeds, rows, length, mask };
}
