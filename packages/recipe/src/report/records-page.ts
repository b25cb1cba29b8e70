/** The page of a run: what happened to each weight. */
import type { WeightRecord } from '@penjing/core';
import type { Recipe } from '../recipe-schema.js';
import { renderPage } from './page.js';
import { barPlot, format, pointPlot } from './plots.js';

export function recordsPage(recipe: Recipe, records: readonly WeightRecord[], bytes: number, date = new Date()): string {
  const changed = records.filter((record) => record.method !== 'none');
  const before = changed.reduce((sum, record) => sum + record.bytesBefore, 0);
  const after = changed.reduce((sum, record) => sum + record.bytesAfter, 0);
  const measured = changed.filter((record) => record.snrDb !== undefined);
  const megabytes = (value: number): string => `${(value / 1e6).toFixed(2)} MB`;
  return renderPage({
    title: 'What happened to the weights',
    lead: `${recipe.input} → ${recipe.output}: ${JSON.stringify(recipe.steps)}`,
    facts: [['weights changed', String(changed.length)], ['left alone', String(records.length - changed.length)], ['written', megabytes(bytes)]],
    plots: [
      ...(changed.length > 0 ? [barPlot({ title: 'Size of the changed weights', axis: 'bytes as stored' }, [{ label: 'before', value: before, text: megabytes(before) }, { label: 'after', value: after, text: megabytes(after) }])] : []),
      ...(measured.length > 0 ? [pointPlot({ title: 'Error of each weight', axis: 'SNR, dB (higher is better)' }, measured.map((record) => ({ label: record.name, value: record.snrDb! })))] : []),
    ],
    tables: [
      {
        title: 'Weights',
        header: ['weight', 'method', 'elements', 'before', 'after', 'objective', 'snrDb', 'maxError', 'note'],
        rows: records.map((record) => [
          record.name, record.method, String(record.elements), megabytes(record.bytesBefore), megabytes(record.bytesAfter),
          optional(record.objective), optional(record.snrDb), optional(record.maxError), record.note ?? '',
        ]),
      },
    ],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC.`,
  });
}

function optional(value: number | undefined): string {
  return value === undefined ? '—' : format(value);
}
