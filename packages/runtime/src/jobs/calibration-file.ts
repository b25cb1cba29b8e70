/** A calibration cache: statistics in a safetensors file. Matrices stay in it until a job reads them. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Checkpoint, type DenseTensor, PenjingError, type Tensor, toDense } from '@penjing/core';
import { openSafetensors, safetensorsLayout } from '@penjing/graph-io';
import { fileSource, saveFile } from '@penjing/graph-io/node';
import { referTensor, spilledTensor } from './stored-tensor.js';
import { numbersOfJson, numbersToJson, type StatisticEntry } from './statistic-entry.js';

export interface CalibrationFile {
  readonly existed: boolean;
  /** Throws `E_DATA` for an entry that is damaged. */
  get(key: string): Promise<StatisticEntry | undefined>;
  /** Writes the file with these entries beside those that it has. */
  save(added: ReadonlyMap<string, StatisticEntry>, options?: { readonly signal?: AbortSignal }): Promise<void>;
}

const FORMAT = 'penjing-calibration';
const VERSION = '1';
/** Of an array of one number per channel, or per bin: a million channels are a hundred times what the widest layers have. */
const MOST_ARRAY_BYTES = 8 * 2 ** 20;

/** An entry in the metadata, under its key; its tensors are named `KEY.FIELD`. */
interface Head {
  readonly value: string;
  readonly statistic: StatisticEntry['statistic'];
  readonly broken?: number | undefined;
  readonly numbers: Readonly<Record<string, number | string>>;
}

/** Throws `E_DATA` for a file of another kind, what `openSafetensors` throws for a damaged one. */
export async function openCalibrationFile(path: string): Promise<CalibrationFile> {
  const existed = await stat(path).then(() => true, () => false);
  const file: Checkpoint = existed ? await openSafetensors(await fileSource(path)) : { tensors: new Map(), metadata: new Map() };
  if (existed && (file.metadata.get('format') !== FORMAT || file.metadata.get('version') !== VERSION)) {
    const ours = file.metadata.get('format') === FORMAT;
    throw new PenjingError('E_DATA', `${path} is ${ours ? `a calibration cache of version ${file.metadata.get('version')}` : 'no calibration cache'}`, { hint: ours ? 'Delete it: it is gathered anew.' : 'Name another file: this one would be overwritten.' });
  }
  const fields = new Map<string, [field: string, tensor: Tensor][]>();
  for (const [name, tensor] of file.tensors) {
    const at = name.lastIndexOf('.');
    const key = name.slice(0, at);
    fields.set(key, [...(fields.get(key) ?? []), [name.slice(at + 1), tensor]]);
  }
  return {
    existed,
    async get(key) {
      const head = readHead(path, file.metadata.get(key));
      if (!head) return undefined;
      const arrays = new Map<string, DenseTensor>();
      const squares = new Map<string, Awaited<ReturnType<typeof referTensor>>>();
      for (const [field, tensor] of fields.get(key) ?? []) {
        if (tensor.shape.length === 2) squares.set(field, { ...(await referTensor(tensor)), identity: key });
        else if (tensor.byteLength <= MOST_ARRAY_BYTES) arrays.set(field, await toDense(tensor));
        else throw new PenjingError('E_LIMIT', `${path}: ${field} of ${head.value} has ${tensor.byteLength} bytes, at most ${MOST_ARRAY_BYTES} are read`, { hint: 'Delete the file.' });
      }
      return { value: head.value, statistic: head.statistic, broken: head.broken, numbers: numbersOfJson(head.numbers), arrays, squares };
    },
    async save(added, options = {}) {
      const tensors = new Map<string, Tensor>(file.tensors);
      const metadata = new Map([...file.metadata, ['format', FORMAT], ['version', VERSION]]);
      for (const [key, { value, statistic, broken, numbers, arrays, squares }] of added) {
        const head: Head = { value, statistic, broken, numbers: numbersToJson(numbers) };
        metadata.set(key, JSON.stringify(head));
        for (const [field, array] of arrays) tensors.set(`${key}.${field}`, array);
        for (const [field, { reference }] of squares) tensors.set(`${key}.${field}`, await spilledTensor(reference as Parameters<typeof spilledTensor>[0]));
      }
      await saveFile(path, safetensorsLayout({ tensors, metadata }, { name: basename(path) }), { ...options, force: true });
    },
  };
}

function readHead(path: string, text: string | undefined): Head | undefined {
  if (text === undefined) return undefined;
  let head: unknown;
  try {
    head = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, cause);
  }
  if (!isObject(head) || typeof head['value'] !== 'string' || typeof head['statistic'] !== 'string' || !isObject(head['numbers'])) throw damaged(path);
  return head as unknown as Head;
}

function damaged(path: string, cause?: unknown): PenjingError {
  return new PenjingError('E_DATA', `${path} holds an entry that is no statistic`, { cause, hint: 'The file is damaged; delete it.' });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
