/** Students that begin as parts of their teacher, in the words of `--student`: some of its layers, a share of its width, or the sizes of another configuration of its family. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { FIELDS } from '../changed-sizes.js';
import type { Normalisation } from '../feeds/picture-feeds.js';
import type { ShrinkStep } from '../steps/shrink.js';
import type { RecipeStep } from '../steps/steps.js';

export interface StudentOptions extends Normalisation {
  /** The model that the student is a part of: of a configuration a folder with config.json. */
  readonly teacher: string;
  /** What decides which features and heads matter; the norms of weights when absent. */
  readonly data?: string | undefined;
  readonly columns?: readonly string[] | undefined;
}

/** Samples are enough that tell features apart: rows of activations count, and a text of 512 tokens has as many. */
const SAMPLES = 32;

type Part = 'layers' | 'width' | 'ffn' | 'hidden' | 'heads';
/** In the order in which they are cut: heads last, since caches count them. */
const ORDER: readonly Part[] = ['layers', 'width', 'ffn', 'hidden', 'heads'];
const NAMED = /^(?:layers|width|ffn|hidden|heads):/;

/**
 * The steps that make the student of its teacher; undefined for text that names a model. `layers:MAP`, `width:0.5` (what stays of hidden features, features of feed-forward parts, heads and channels),
 * `hidden:N`, `ffn:N`, `heads:N` (how many, or a share below 1), several with commas between them; or a `.json` with the fields of config.json that are to be others. Throws `E_OPTION` for a word without a meaning,
 * and for a field that no slice of the teacher can have.
 */
export async function studentSteps(text: string, { teacher, data, columns, scale, mean, std }: StudentOptions): Promise<RecipeStep[] | undefined> {
  const isConfig = text.endsWith('.json') && (await stat(text).then((info) => info.isFile(), () => false));
  if (!isConfig && !NAMED.test(text)) return undefined;
  const parts = isConfig ? await partsOfConfig(text, teacher) : partsOf(text);
  const scored: Partial<ShrinkStep> = data === undefined ? {} : { method: 'activation', data, samples: SAMPLES, ...(columns && { columns }), ...(scale !== undefined && { scale }), ...(mean && { mean }), ...(std && { std }) };
  return ORDER.flatMap((part): RecipeStep[] => {
    const wanted = parts.get(part);
    if (wanted === undefined) return [];
    if (part === 'layers') return [{ shrink: { structure: 'layers', keep: wanted } }];
    const amount = Number(wanted);
    return [{ shrink: { structure: part, ...(amount < 1 ? { ratio: 1 - amount } : { size: amount }), ...scored } }];
  });
}

function partsOf(text: string): Map<Part, string> {
  const hint = 'For example --student layers:half, width:0.5, or layers:2,hidden:256,ffn:512,heads:4.';
  const parts = new Map<Part, string>();
  for (const piece of text.split(/,(?=[a-z]+:)/)) {
    const [, name, value = ''] = /^([a-z]+):(.*)$/.exec(piece) ?? [];
    const part = ORDER.find((known) => known === name);
    if (part === undefined) throw new PenjingError('E_OPTION', `${piece} says nothing of a student`, { hint });
    if (value === '') throw new PenjingError('E_OPTION', `${piece} names no ${part}`, { hint });
    if (parts.has(part)) throw new PenjingError('E_OPTION', `${text} says twice what stays of the ${part}`, { hint });
    const amount = Number(value);
    const isShare = amount > 0 && amount < 1;
    if (part !== 'layers' && !isShare && (part === 'width' || !/^\d{1,7}$/.test(value) || amount < 1)) {
      throw new PenjingError('E_OPTION', `${piece}: ${part === 'width' ? 'a share between 0 and 1' : 'how many stay, or a share between 0 and 1'} is needed`, { hint });
    }
    parts.set(part, value);
  }
  if (parts.has('width') && ['ffn', 'hidden', 'heads'].some((part) => parts.has(part as Part))) throw new PenjingError('E_OPTION', `${text}: the width is that of ffn, hidden and heads`, { hint: 'Give the width, or each by itself.' });
  return parts;
}

type Config = Readonly<Record<string, unknown>>;

/** Of no meaning for what a model computes. */
const IGNORED: ReadonlySet<string> = new Set(['_name_or_path', 'dtype', 'torch_dtype', 'transformers_version', 'use_cache']);

/** What is another size in the student's configuration. Throws `E_OPTION` naming the field for anything else that is another, and for larger sizes. */
async function partsOfConfig(path: string, teacher: string): Promise<Map<Part, string>> {
  const [ours, theirs] = [await readConfig(path), await readConfig(join(teacher, 'config.json'))];
  const parts = new Map<Part, string>();
  const known = new Set<string>(['head_dim']);
  const sizes = (names: readonly string[]): { readonly before: number | undefined; readonly after: number | undefined; readonly name: string } => {
    const name = names.find((field) => typeof theirs[field] === 'number') ?? names[0]!;
    known.add(name);
    const [before, after] = [theirs[name], ours[name] ?? theirs[name]];
    if (typeof after === 'number' && typeof before === 'number' && (!Number.isInteger(after) || after < 1 || after > before)) {
      throw new PenjingError('E_OPTION', `${path}: ${name} ${after} is no part of the ${before} that the teacher has`, { hint: 'A student is a slice of its teacher; train others from random weights as a model of their own.' });
    }
    return { name, before: typeof before === 'number' ? before : undefined, after: typeof after === 'number' ? after : undefined };
  };
  for (const part of ['layers', 'ffn', 'hidden', 'heads'] as const) {
    const { before, after } = sizes(FIELDS[part]);
    if (before !== undefined && after !== undefined && after < before) parts.set(part, String(after));
  }
  const [heads, shared, hidden] = [sizes(FIELDS.heads), sizes(FIELDS.keyValueHeads), sizes(FIELDS.hidden)];
  if (shared.before !== undefined && ours[shared.name] !== undefined && shared.after! * heads.before! !== shared.before * heads.after!) {
    throw new PenjingError('E_OPTION', `${path}: ${shared.after} heads of keys for ${heads.after} of queries, the teacher has ${shared.before} for ${heads.before}`, { hint: 'Heads go together with the keys and values that they share.' });
  }
  // a configuration that leaves out the size of a head means what the hidden features come to
  const [size, wanted] = [headSize(theirs, hidden.before, heads.before), headSize(parts.has('hidden') || parts.has('heads') ? ours : theirs, hidden.after, heads.after)];
  if (heads.before !== undefined && size !== wanted) {
    throw new PenjingError('E_OPTION', `${path}: heads of ${String(wanted)} features, those of the teacher have ${String(size)}: heads stay whole`, { hint: `Give as many heads as fit, or head_dim ${String(size)}.` });
  }
  const other = Object.keys(ours).find((field) => !known.has(field) && !IGNORED.has(field) && JSON.stringify(ours[field]) !== JSON.stringify(theirs[field]));
  if (other !== undefined) throw new PenjingError('E_OPTION', `${path}: ${other} is ${JSON.stringify(ours[other])}, the teacher has ${JSON.stringify(theirs[other])}: no slice of it has that`, { hint: 'Layers, hidden features, features of feed-forward parts and heads can be fewer; leave the rest as it is, or out.' });
  if (parts.size === 0) throw new PenjingError('E_OPTION', `${path} has the sizes of the teacher`, { hint: 'Give fewer layers, hidden features, features of feed-forward parts or heads.' });
  return parts;
}

function headSize({ head_dim: size }: Config, width: number | undefined, heads: number | undefined): unknown {
  return size ?? (width !== undefined && heads !== undefined ? width / heads : undefined);
}

async function readConfig(path: string): Promise<Config> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { cause, hint: 'The student of a configuration is a part of a teacher that is a folder with config.json.' });
  });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Config;
  } catch (cause) {
    throw new PenjingError('E_CONFIG', `${path} is not JSON`, { cause });
  }
  throw new PenjingError('E_CONFIG', `${path} is no object`);
}
