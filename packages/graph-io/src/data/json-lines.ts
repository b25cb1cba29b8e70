/** JSON lines: one object a line, with a `text`, or with a nested array for every input of a model; a `label` is its class. */
import { type DenseTensor, denseOf, elementCount, PenjingError } from '@penjing/core';
import { dataLimits } from '../limits.js';
import { type DataItem, type DataSource, dataSource, numberLabels } from './data-source.js';
import { pairColumns, pairOf } from './pairs.js';
import { hashOf } from './read-bounded.js';

/** `text` is what the bytes say. */
export function openJsonLines(path: string, bytes: Uint8Array, text: string): DataSource {
  const lines = text.split('\n').map((line, i) => ({ line, where: `${path}:${i + 1}` })).filter(({ line }) => line.trim() !== '');
  const objects = lines.map(({ line, where }) => parse(line, where));
  const labels = objects.map(({ label }) => (typeof label === 'number' || typeof label === 'string' ? String(label) : undefined));
  const labelled = labels.length > 0 && labels.every((label) => label !== undefined);
  const { numbers, classes } = labelled ? numberLabels(labels) : { numbers: [], classes: undefined };
  const pairs = objects[0] && pairColumns(Object.keys(objects[0]).filter((name) => typeof objects[0]![name] !== 'object'));
  return dataSource({
    format: 'jsonl', count: lines.length, hash: hashOf(bytes), labelled, classes,
    async item(index): Promise<DataItem> {
      const { label: _label, ...fields } = objects[index]!;
      const { where } = lines[index]!;
      const label = labelled && { label: numbers[index]! };
      if (pairs) return { ...pairOf(pairs, fields, where), ...label };
      if (typeof fields['text'] === 'string') return { kind: 'text', text: fields['text'], ...label };
      const tensors = new Map(Object.entries(fields).map(([name, value]) => [name, toTensor(value, `${where}, ${name}`)]));
      if (tensors.size === 0) throw new PenjingError('E_DATA', `${where} has neither a "text" nor arrays`, { hint: 'Each line is {"text": "…"}, or an array for every input: {"x": [1, 2]}.' });
      return { kind: 'tensors', tensors, ...label };
    },
  });
}

function parse(line: string, where: string): Record<string, unknown> {
  const hint = 'Each line is {"text": "…"}, or an array for every input: {"x": [1, 2]}.';
  if (line.length > dataLimits.lineBytes) throw new PenjingError('E_LIMIT', `${where} takes ${line.length} characters`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new PenjingError('E_DATA', `${where} is not JSON`, { cause, hint });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new PenjingError('E_DATA', `${where} is no object`, { hint });
  return value as Record<string, unknown>;
}

/** A nested list of numbers or truth values, as float64 until the model says what it reads. */
function toTensor(value: unknown, where: string): DenseTensor {
  const shape: number[] = [];
  for (let inner = value; Array.isArray(inner); inner = (inner as unknown[])[0]) {
    if (shape.push(inner.length) > dataLimits.jsonDepth) throw new PenjingError('E_LIMIT', `${where} is nested deeper than ${dataLimits.jsonDepth} lists`);
  }
  if (elementCount(shape) > dataLimits.jsonValues) throw new PenjingError('E_LIMIT', `${where} has more than ${dataLimits.jsonValues} values`);
  const values: number[] = [];
  const visit = (item: unknown, depth: number): void => {
    if (Array.isArray(item) && depth < shape.length && item.length === shape[depth]) for (const inner of item as unknown[]) visit(inner, depth + 1);
    else if (depth === shape.length && (typeof item === 'number' || typeof item === 'boolean')) values.push(Number(item));
    else throw new PenjingError('E_DATA', `${where} is no regular array of numbers`);
  };
  visit(value, 0);
  return denseOf('float64', shape, values);
}
