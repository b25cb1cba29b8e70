/** Comma-separated values with a line of names: texts with their classes, or columns of numbers. */
import { denseOf, PenjingError } from '@penjing/core';
import { parse } from 'csv-parse/sync';
import { dataLimits } from '../limits.js';
import { type DataSource, dataSource, numberLabels } from './data-source.js';
import { pairColumns, pairOf } from './pairs.js';
import { hashOf } from './read-bounded.js';

export interface TableOptions {
  /** Columns to read: that of a text, or those of numbers, in the order of the input. `text`, or every column of numbers, when absent. */
  readonly columns?: readonly string[] | undefined;
}

const LABELS = ['label', 'category', 'class'];

/** Throws `E_DATA` for lines of unequal length and columns that are not there. */
export function openTable(path: string, bytes: Uint8Array, { columns }: TableOptions = {}): DataSource {
  let rows: string[][];
  try {
    rows = parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), { bom: true, skip_empty_lines: true, max_record_size: dataLimits.lineBytes, delimiter: path.replace(/\.gz$/, '').endsWith('.tsv') ? '\t' : ',' });
  } catch (cause) {
    throw new PenjingError('E_DATA', `${path} is no table: ${(cause as Error).message}`, { cause });
  }
  const [head = [], ...body] = rows;
  const at = (name: string): number => {
    const index = head.indexOf(name);
    if (index === -1) throw new PenjingError('E_DATA', `${path} has no column ${name} but ${head.join(', ')}`);
    return index;
  };
  const labelName = LABELS.find((name) => head.includes(name) && !columns?.includes(name));
  const labels = labelName === undefined ? undefined : numberLabels(body.map((row) => row[at(labelName)]!));
  const pairs = columns ? undefined : pairColumns(head);
  if (pairs) {
    return dataSource({
      format: 'csv', count: body.length, hash: hashOf(bytes), labelled: false,
      item: async (index) => pairOf(pairs, Object.fromEntries(head.map((name, i) => [name, body[index]![i]])), `${path}, line ${index + 2}`),
    });
  }
  const wanted = columns ?? (head.includes('text') ? ['text'] : head.filter((name) => name !== labelName));
  const indices = wanted.map(at);
  const isNumber = (cell: string): boolean => cell.trim() !== '' && Number.isFinite(Number(cell));
  const numeric = !(wanted.length === 1 && wanted[0] === 'text') && body.every((row) => indices.every((index) => isNumber(row[index]!)));
  if (!numeric && indices.length !== 1) throw new PenjingError('E_DATA', `${path} is no table of numbers`, { hint: 'Name the column of the text: --columns NAME; or columns that hold numbers only.' });
  return dataSource({
    format: 'csv', count: body.length, hash: hashOf(bytes, wanted.join('\0')), labelled: labels !== undefined, classes: labels?.classes,
    async item(index) {
      const row = body[index]!;
      const label = labels && { label: labels.numbers[index]! };
      if (!numeric) return { kind: 'text', text: row[indices[0]!]!, ...label };
      return { kind: 'tensors', tensors: new Map([['', denseOf('float64', [indices.length], indices.map((column) => Number(row[column])))]]), ...label };
    },
  });
}
