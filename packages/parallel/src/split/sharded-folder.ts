/** A model in shards as a folder describes it: the program that all shards run, and the files of their segments. */
import { type DType, dtypeNames, PenjingError, type ValueType } from '@penjing/core';
import { checkKeys, type Fields, fieldsOf, fileIn, list, optional, text, whole, wrong } from '../plan/json-fields.js';
import type { AxisCut, Gathered, Range, ShardedModel, ShardedPort, TensorStep, Traffic } from '../tensor/sharded-model.js';

export interface ShardedFolder extends Pick<ShardedModel, 'shards' | 'inputs' | 'outputs' | 'program'> {
  readonly version: 1;
  readonly kind: 'tensor';
  /** By shard, then by segment; they lie beside the manifest. */
  readonly files: readonly (readonly string[])[];
}

/** Threads of one machine that meet at every exchange. */
const MAX_SHARDS = 64;
/** Layers of the deepest models are some hundreds, with a few steps each. */
const MAX_STEPS = 65_536;
const MAX_VALUES = 4096;
const MAX_RANGES = 65_536;
const MAX_NAME = 1024;
const MAX_RANK = 64;

/** Throws `E_PLAN` naming the place that is wrong. */
export function readShardedFolder(fields: Fields, place: string): ShardedFolder {
  checkKeys(fields, ['version', 'kind', 'shards', 'inputs', 'outputs', 'program', 'files'], place);
  if (fields['version'] !== 1) throw wrong(`${place}.version`, '1', fields['version']);
  const shards = whole(fields['shards'], `${place}.shards`, 1, MAX_SHARDS);
  const files = list(fields['files'], `${place}.files`, MAX_SHARDS).map((own, shard) => list(own, `${place}.files[${shard}]`, MAX_STEPS).map((file, i) => fileIn(file, `${place}.files[${shard}][${i}]`)));
  const segments = files[0]?.length ?? 0;
  if (files.length !== shards || files.some((own) => own.length !== segments)) throw new PenjingError('E_PLAN', `${place}.files must be ${shards} lists of one length`);
  const ports = (key: string): ShardedPort[] => list(fields[key], `${place}.${key}`, MAX_VALUES).map((item, i) => readPort(item, `${place}.${key}[${i}]`, shards));
  const program = list(fields['program'], `${place}.program`, MAX_STEPS).map((item, i) => readStep(item, `${place}.program[${i}]`, shards, segments));
  return { version: 1, kind: 'tensor', shards, inputs: ports('inputs'), outputs: ports('outputs'), program, files };
}

function readStep(value: unknown, place: string, shards: number, segments: number): TensorStep {
  const fields = fieldsOf(value, place);
  const { kind } = fields;
  if (kind === 'run') {
    checkKeys(fields, ['kind', 'segment'], place);
    if (segments === 0) throw new PenjingError('E_PLAN', `${place} runs a segment, and there are none`);
    return { kind, segment: whole(fields['segment'], `${place}.segment`, 0, segments - 1) };
  }
  if (kind !== 'reduce' && kind !== 'gather') throw wrong(`${place}.kind`, '"run", "reduce" or "gather"', kind);
  checkKeys(fields, ['kind', 'values'], place);
  const values = list(fields['values'], `${place}.values`, MAX_VALUES);
  if (kind === 'reduce') return { kind, values: values.map((item, i) => readTraffic(item, `${place}.values[${i}]`)) };
  return { kind, values: values.map((item, i): Gathered => {
    const at = `${place}.values[${i}]`;
    return { ...readTraffic(item, at, ['cut']), cut: readCut(fieldsOf(item, at)['cut'], `${at}.cut`, shards) };
  }) };
}

function readTraffic(value: unknown, place: string, more: readonly string[] = []): Traffic {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['from', 'to', 'dtype', 'shape', ...more], place);
  return {
    from: text(fields['from'], `${place}.from`, MAX_NAME), to: text(fields['to'], `${place}.to`, MAX_NAME), dtype: readDType(fields['dtype'], `${place}.dtype`),
    shape: fields['shape'] === undefined ? undefined : readShape(fields['shape'], `${place}.shape`),
  };
}

function readPort(value: unknown, place: string, shards: number): ShardedPort {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['name', 'type', 'value', 'cut'], place);
  return {
    name: text(fields['name'], `${place}.name`, MAX_NAME), value: text(fields['value'], `${place}.value`, MAX_NAME), type: readType(fields['type'], `${place}.type`),
    ...optional(fields, 'cut', (cut) => readCut(cut, `${place}.cut`, shards)),
  };
}

function readType(value: unknown, place: string): ValueType {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['kind', 'dtype', 'shape'], place);
  if (fields['kind'] !== 'tensor') throw wrong(`${place}.kind`, '"tensor"', fields['kind']);
  return { kind: 'tensor', ...optional(fields, 'dtype', (dtype) => readDType(dtype, `${place}.dtype`)), ...optional(fields, 'shape', (shape) => readShape(shape, `${place}.shape`)) };
}

function readDType(value: unknown, place: string): DType {
  const found = dtypeNames.find((name) => name === value);
  if (!found) throw wrong(place, 'an element type', value);
  return found;
}

function readShape(value: unknown, place: string): (number | string | null)[] {
  return list(value, place, MAX_RANK).map((dim, i) => (dim === null ? null : typeof dim === 'string' ? text(dim, `${place}[${i}]`, MAX_NAME) : whole(dim, `${place}[${i}]`, 0, Number.MAX_SAFE_INTEGER)));
}

/** Every element of the axis belongs to one shard: parts are put together without looking again. */
function readCut(value: unknown, place: string, shards: number): AxisCut {
  const fields = fieldsOf(value, place);
  checkKeys(fields, ['axis', 'ranges'], place);
  const ranges = list(fields['ranges'], `${place}.ranges`, MAX_SHARDS).map((own, shard) => list(own, `${place}.ranges[${shard}]`, MAX_RANGES).map((item, i): Range => {
    const at = `${place}.ranges[${shard}][${i}]`;
    const [start, end, ...rest] = list(item, at, 2);
    if (rest.length > 0 || end === undefined) throw wrong(at, 'a start and an end', item);
    const from = whole(start, `${at}[0]`, 0, Number.MAX_SAFE_INTEGER);
    return [from, whole(end, `${at}[1]`, from, Number.MAX_SAFE_INTEGER)];
  }));
  if (ranges.length !== shards) throw new PenjingError('E_PLAN', `${place}.ranges must be ${shards} lists`);
  let at = 0;
  for (const [start, end] of ranges.flat().sort(([a, b], [c, d]) => a - c || b - d)) {
    if (start !== at) throw new PenjingError('E_PLAN', `${place}.ranges ${start < at ? 'overlap' : 'leave something out'} at ${Math.min(at, start)}`);
    at = end;
  }
  return { axis: whole(fields['axis'], `${place}.axis`, 0, MAX_RANK), ranges };
}
