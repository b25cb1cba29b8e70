/** What a folder of stages remembers of how they belong together, in the field `split` of its manifest. */
import { PenjingError } from '@penjing/core';
import { checkKeys, fieldsOf, list, number, text, texts, wrong } from '../plan/json-fields.js';
import type { Part } from '../plan/plan.js';

/** A stage and its file, which lies beside the manifest. */
export interface StageFile extends Part {
  readonly file: string;
}

export interface SplitFolder {
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
const MAX_BORDER = 4096;
const MAX_NAME = 1024;
/** A name in the folder itself, and none that hides. */
const FILE = /^[A-Za-z0-9_][\w.-]{0,200}$/;

/** Throws `E_PLAN` naming the place that is wrong; a folder may have been made by anybody. */
export function readSplitFolder(value: unknown, from = 'the manifest'): SplitFolder {
  const place = `${from}: split`;
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['version', 'kind', 'inputs', 'outputs', 'batch', 'microBatches', 'stages'], place);
  if (fields['version'] !== 1) throw wrong(`${place}.version`, '1', fields['version']);
  if (fields['kind'] !== 'pipeline') throw wrong(`${place}.kind`, '"pipeline"', fields['kind']);
  const names = (owner: ReturnType<typeof fieldsOf>, key: string, at: string): string[] => texts(owner[key], `${at}.${key}`, MAX_BORDER, MAX_NAME);
  const stages = list(fields['stages'], `${place}.stages`, MAX_STAGES).map((item, i): StageFile => {
    const at = `${place}.stages[${i}]`;
    const stage = fieldsOf(item, at);
    checkKeys(stage, ['file', 'inputs', 'outputs'], at);
    const file = text(stage['file'], `${at}.file`, MAX_NAME);
    if (!FILE.test(file)) throw new PenjingError('E_PLAN', `${at}.file is no name of a file in this folder`);
    return { file, inputs: names(stage, 'inputs', at), outputs: names(stage, 'outputs', at) };
  });
  if (stages.length === 0) throw new PenjingError('E_PLAN', `${place}.stages is empty`);
  return {
    version: 1,
    kind: 'pipeline',
    inputs: names(fields, 'inputs', place),
    outputs: names(fields, 'outputs', place),
    batch: fields['batch'] === null ? null : readBatch(fields['batch'], `${place}.batch`),
    microBatches: whole(fields['microBatches'], `${place}.microBatches`),
    stages,
  };
}

function readBatch(value: unknown, place: string): { symbol: string; grain: number } {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['symbol', 'grain'], place);
  return { symbol: text(fields['symbol'], `${place}.symbol`, MAX_NAME), grain: whole(fields['grain'], `${place}.grain`) };
}

function whole(value: unknown, place: string): number {
  const found = number(value, place, 1, 4096);
  if (!Number.isSafeInteger(found)) throw wrong(place, 'a whole number', value);
  return found;
}
