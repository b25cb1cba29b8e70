/** The page of a run: what happened to each weight. */
import type { WeightRecord } from '@penjing/core';
import type { Recipe } from '../recipe-schema.js';
import { describeRecipe } from './describe-recipe.js';
import { renderPage } from './page.js';
import { barPlot, format, pointPlot } from './plots.js';

export function recordsPage(recipe: Recipe, records: readonly WeightRecord[], bytes: number, date = new Date()): string {
  const changed = records.filter((record) => record.method !== 'none');
  const before = changed.reduce((sum, record) => sum + record.bytesBefore, 0);
  const after = changed.reduce((sum, record) => sum + record.bytesAfter, 0);
  const measured = changed.filter((record) => record.snrDb !== undefined);
  const columns = COLUMNS.filter(({ of }) => !of || records.some((record) => record[of] !== undefined));
  return renderPage({
    title: 'What happened to the weights',
    lead: describeRecipe(recipe),
    facts: [['weights changed', String(changed.length)], ['left alone', String(records.length - changed.length)], ['written', megabytes(bytes)]],
    plots: [
      ...(changed.length > 0 ? [barPlot({ title: 'Size of the changed weights', axis: 'bytes as stored' }, [{ label: 'before', value: before, text: megabytes(before) }, { label: 'after', value: after, text: megabytes(after) }])] : []),
      ...(measured.length > 0 ? [pointPlot({ title: 'Error of each weight', axis: 'SNR, dB (higher is better)' }, measured.map((record) => ({ label: record.name, value: record.snrDb! })))] : []),
    ],
    tables: [
      {
        title: 'Weights',
        header: columns.map(({ header }) => header),
        rows: records.map((record) => columns.map(({ cell }) => cell(record))),
      },
    ],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC.`,
  });
}

function megabytes(value: number): string {
  return `${(value / 1e6).toFixed(2)} MB`;
}

interface Column {
  readonly header: string;
  readonly cell: (record: WeightRecord) => string;
  /** What some records have: a table in which none has it goes without the column. */
  readonly of?: keyof WeightRecord;
}

const COLUMNS: readonly Column[] = [
  { header: 'weight', cell: ({ name }) => name },
  { header: 'method', cell: ({ method }) => method },
  { header: 'elements', cell: ({ elements }) => String(elements) },
  { header: 'before', cell: ({ bytesBefore }) => megabytes(bytesBefore) },
  { header: 'after', cell: ({ bytesAfter }) => megabytes(bytesAfter) },
  { header: 'sparsity', cell: ({ sparsity }) => (sparsity === undefined ? '—' : `${(100 * sparsity).toFixed(1)} %`), of: 'sparsity' },
  { header: 'rank', cell: ({ rank }) => rank?.toFixed() ?? '—', of: 'rank' },
  { header: 'palette', cell: ({ paletteBits }) => (paletteBits === undefined ? '—' : `${paletteBits} ${paletteBits === 1 ? 'bit' : 'bits'}`), of: 'paletteBits' },
  { header: 'objective', cell: ({ objective }) => optional(objective) },
  { header: 'snrDb', cell: ({ snrDb }) => optional(snrDb) },
  { header: 'maxError', cell: ({ maxError }) => optional(maxError) },
  { header: 'note', cell: ({ note }) => note ?? '' },
];

function optional(value: number | undefined): string {
  return value === undefined ? '—' : format(value);
}
