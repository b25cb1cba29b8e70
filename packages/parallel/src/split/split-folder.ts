/** What a folder of stages or shards remembers of how they belong together, in the field `split` of its manifest. */
import { PenjingError } from '@penjing/core';
import { checkKeys, type Fields, fieldsOf, fileIn, list, text, texts, whole, wrong } from '../plan/json-fields.js';
import type { Part } from '../plan/plan.js';
import { readShardedFolder, type ShardedFolder } from './sharded-folder.js';

/** A stage and its file, which lies beside the manifest. */
export interface StageFile extends Part {
  readonly file: string;
}

/** A model in stages, in branches, or in shards. */
export type SplitFolder = PipelineFolder | TasksFolder | ShardedFolder;

/** Parts in an order in which each finds its inputs; those that need nothing of each other run at the same time. */
export interface TasksFolder {
  readonly version: 1;
  readonly kind: 'tasks';
  /** Of the whole model, in its order. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly parts: readonly StageFile[];
}

export interface PipelineFolder {
  readonly version: 1;
  readonly kind: 'pipeline';
  /** Of the whole model, in its order. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The symbol along which batches are cut, and the multiples of rows at which pieces begin; null when batches stay whole. */
  readonly batch: { readonly symbol: string; readonly grain: number } | null;
  readonly microBatches: number;
  readonly stages: readonly StageFile[];
}

const MAX_STAGES = 1024;
const MAX_PIECES = 4096;
const MAX_BORDER = 4096;
const MAX_NAME = 1024;

/** Throws `E_PLAN` naming the place that is wrong; a folder may have been made by anybody. */
export function readSplitFolder(value: unknown, from = 'the manifest'): SplitFolder {
  const place = `${from}: split`;
  const fields = fieldsOf(value, place);
  if (fields['kind'] === 'tensor') return readShardedFolder(fields, place);
  if (fields['kind'] !== 'pipeline' && fields['kind'] !== 'tasks') throw wrong(`${place}.kind`, '"pipeline", "tasks" or "tensor"', fields['kind']);
  if (fields['version'] !== 1) throw wrong(`${place}.version`, '1', fields['version']);
  const borders = { inputs: namesIn(fields, 'inputs', place), outputs: namesIn(fields, 'outputs', place) };
  if (fields['kind'] === 'tasks') {
    checkKeys(fields, ['version', 'kind', 'inputs', 'outputs', 'parts'], place);
    return { version: 1, kind: 'tasks', ...borders, parts: readFiles(fields, 'parts', place) };
  }
  checkKeys(fields, ['version', 'kind', 'inputs', 'outputs', 'batch', 'microBatches', 'stages'], place);
  return {
    version: 1,
    kind: 'pipeline',
    ...borders,
    batch: fields['batch'] === null ? null : readBatch(fields['batch'], `${place}.batch`),
    microBatches: whole(fields['microBatches'], `${place}.microBatches`, 1, MAX_PIECES),
    stages: readFiles(fields, 'stages', place),
  };
}

function namesIn(owner: Fields, key: string, at: string): string[] {
  return texts(owner[key], `${at}.${key}`, MAX_BORDER, MAX_NAME);
}

function readFiles(fields: Fields, key: string, place: string): StageFile[] {
  const files = list(fields[key], `${place}.${key}`, MAX_STAGES).map((item, i): StageFile => {
    const at = `${place}.${key}[${i}]`;
    const file = fieldsOf(item, at);
    checkKeys(file, ['file', 'inputs', 'outputs'], at);
    return { file: fileIn(file['file'], `${at}.file`), inputs: namesIn(file, 'inputs', at), outputs: namesIn(file, 'outputs', at) };
  });
  if (files.length === 0) throw new PenjingError('E_PLAN', `${place}.${key} is empty`);
  return files;
}

function readBatch(value: unknown, place: string): { symbol: string; grain: number } {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['symbol', 'grain'], place);
  return { symbol: text(fields['symbol'], `${place}.symbol`, MAX_NAME), grain: whole(fields['grain'], `${place}.grain`, 1, MAX_PIECES) };
}
