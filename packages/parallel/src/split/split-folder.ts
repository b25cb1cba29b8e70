/** What a folder of stages or shards remembers of how they belong together, in the field `split` of its manifest. */
import { PenjingError } from '@penjing/core';
import { checkKeys, fieldsOf, fileIn, list, text, texts, whole, wrong } from '../plan/json-fields.js';
import type { Part } from '../plan/plan.js';
import { readShardedFolder, type ShardedFolder } from './sharded-folder.js';

/** A stage and its file, which lies beside the manifest. */
export interface StageFile extends Part {
  readonly file: string;
}

/** A model in stages, or in shards. */
export type SplitFolder = PipelineFolder | ShardedFolder;

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
  checkKeys(fields, ['version', 'kind', 'inputs', 'outputs', 'batch', 'microBatches', 'stages'], place);
  if (fields['version'] !== 1) throw wrong(`${place}.version`, '1', fields['version']);
  if (fields['kind'] !== 'pipeline') throw wrong(`${place}.kind`, '"pipeline" or "tensor"', fields['kind']);
  const names = (owner: ReturnType<typeof fieldsOf>, key: string, at: string): string[] => texts(owner[key], `${at}.${key}`, MAX_BORDER, MAX_NAME);
  const stages = list(fields['stages'], `${place}.stages`, MAX_STAGES).map((item, i): StageFile => {
    const at = `${place}.stages[${i}]`;
    const stage = fieldsOf(item, at);
    checkKeys(stage, ['file', 'inputs', 'outputs'], at);
    return { file: fileIn(stage['file'], `${at}.file`), inputs: names(stage, 'inputs', at), outputs: names(stage, 'outputs', at) };
  });
  if (stages.length === 0) throw new PenjingError('E_PLAN', `${place}.stages is empty`);
  return {
    version: 1,
    kind: 'pipeline',
    inputs: names(fields, 'inputs', place),
    outputs: names(fields, 'outputs', place),
    batch: fields['batch'] === null ? null : readBatch(fields['batch'], `${place}.batch`),
    microBatches: whole(fields['microBatches'], `${place}.microBatches`, 1, MAX_PIECES),
    stages,
  };
}

function readBatch(value: unknown, place: string): { symbol: string; grain: number } {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['symbol', 'grain'], place);
  return { symbol: text(fields['symbol'], `${place}.symbol`, MAX_NAME), grain: whole(fields['grain'], `${place}.grain`, 1, MAX_PIECES) };
}
