/** A confusion matrix: a square for each pair of a label and what was found, the darker the larger its share of the label. */
import type { ClassScores } from '@penjing/runtime';
import { escapeHtml, type PlotFrame, responsive } from './plots.js';

const TOP = 24;
const BOTTOM = 96;

export function confusionPlot(frame: PlotFrame, { classes, confusion }: ClassScores): string {
  const index = new Map(classes.map(({ label }, i) => [label, i]));
  const support = new Map(classes.map(({ label, support }) => [label, support]));
  const names = classes.map(({ label, name }) => name ?? String(label));
  const side = (width: number): number => Math.min(36, (width - left(width) - 12) / Math.max(1, classes.length));
  const left = (width: number): number => (width < 500 ? 96 : 200);
  return responsive(frame, (width) => TOP + side(width) * classes.length + BOTTOM, (width) => {
    const size = side(width);
    const cells = confusion.flatMap(({ label, found, rows }) => {
      const [row, column] = [index.get(label), index.get(found)];
      if (row === undefined || column === undefined) return [];
      const [x, y] = [left(width) + column * size, TOP + row * size];
      const share = rows / Math.max(1, support.get(label) ?? 0);
      const colour = label === found ? 'm0' : 'm1';
      const count = size >= 22 ? `<text x="${(x + size / 2).toFixed(1)}" y="${(y + size / 2 + 4).toFixed(1)}" text-anchor="middle">${rows}</text>` : '';
      return [`<rect class="mark ${colour}" fill-opacity="${(0.12 + 0.6 * Math.min(1, share)).toFixed(2)}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${(size - 1).toFixed(1)}" height="${(size - 1).toFixed(1)}"><title>${escapeHtml(`${names[row]!} taken for ${names[column]!}: ${rows}`)}</title></rect>${count}`];
    });
    const shorten = (name: string): string => (name.length > left(width) / 8 ? `${name.slice(0, Math.floor(left(width) / 8) - 1)}…` : name);
    const rows = names.map((name, i) => `<text class="tick" x="${left(width) - 8}" y="${(TOP + (i + 0.5) * size + 4).toFixed(1)}" text-anchor="end">${escapeHtml(shorten(name))}</text>`);
    const under = TOP + size * classes.length + 14;
    const columns = names.map((name, i) => `<text class="tick" text-anchor="end" transform="translate(${(left(width) + (i + 0.5) * size + 4).toFixed(1)},${under.toFixed(1)}) rotate(-40)">${escapeHtml(name.length > 12 ? `${name.slice(0, 11)}…` : name)}</text>`);
    return `${cells.join('')}${rows.join('')}${columns.join('')}<text class="axis" x="4" y="14">${escapeHtml(frame.axis)}</text>`;
  });
}
