/** What each device does when, as a Gantt chart: a row per device, a bar per call, coloured by micro-batch. */
import { scaleBand, scaleLinear } from 'd3-scale';
import type { Span } from '@penjing/parallel';
import { escapeHtml, format, type PlotFrame, responsive, shorten } from './plots.js';

const ROW = 30;
const MARGIN = { top: 20, right: 16, bottom: 44 };
const LABEL = { wide: 150, narrow: 84 };
/** Rows that can be told apart on a page; the others are counted below. */
const MOST_ROWS = 32;
/** Bars of one drawing: more only make the file larger. */
const MOST_BARS = 2000;

/** `from` and `to` of spans are seconds. Transfers are thin lines in the row of the device that waits for them. */
export function timelinePlot(frame: Omit<PlotFrame, 'axis'>, spans: readonly Span[]): string {
  const computed = spans.filter(({ kind }) => kind === 'compute').slice(0, MOST_BARS);
  const moved = spans.filter(({ kind }) => kind !== 'compute').slice(0, MOST_BARS);
  const devices = [...new Set(computed.map(({ where }) => where))];
  const shown = devices.slice(0, MOST_ROWS);
  const end = Math.max(...spans.map(({ to }) => to), Number.MIN_VALUE);
  const [factor, unit] = end >= 1 ? [1, 's'] : end >= 1e-3 ? [1e3, 'ms'] : [1e6, 'µs'];
  const height = MARGIN.top + shown.length * ROW + MARGIN.bottom;
  return responsive({ ...frame, axis: unit }, height, (width) => {
    const isNarrow = width < 500;
    const left = isNarrow ? LABEL.narrow : LABEL.wide;
    const x = scaleLinear().domain([0, end * factor]).range([left, width - MARGIN.right]);
    const y = scaleBand<string>().domain(shown).range([MARGIN.top, MARGIN.top + shown.length * ROW]).paddingInner(0.3).paddingOuter(0.15);
    const bottom = MARGIN.top + shown.length * ROW;
    const grid = x.ticks(isNarrow ? 4 : 8).map((tick) => `<line class="grid" x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="${MARGIN.top - 6}" y2="${bottom}"/><text class="tick" x="${x(tick).toFixed(1)}" y="${bottom + 16}" text-anchor="middle">${format(tick)}</text>`);
    const names = shown.map((device) => `<text x="${left - 8}" y="${(y(device)! + y.bandwidth() / 2 + 4).toFixed(1)}" text-anchor="end">${escapeHtml(shorten(device, isNarrow ? 11 : 20))}<title>${escapeHtml(device)}</title></text>`);
    const bar = (span: Span, device: string, top: number, high: number, className: string): string => {
      const [from, to] = [x(span.from * factor), x(span.to * factor)];
      const tip = `${span.where}: ${span.kind === 'compute' ? `stage ${span.stage + 1}, piece ${span.microBatch + 1}` : span.kind}, ${format(span.from * factor)} to ${format(span.to * factor)} ${unit}`;
      return `<rect class="${className}" x="${from.toFixed(2)}" y="${(y(device)! + top).toFixed(1)}" width="${Math.max(0.75, to - from - 0.5).toFixed(2)}" height="${high.toFixed(1)}" rx="1.5"><title>${escapeHtml(tip)}</title></rect>`;
    };
    const bars = computed.filter(({ where }) => shown.includes(where)).map((span) => bar(span, span.where, 0, y.bandwidth() - 5, `mark m${span.microBatch % 4}`));
    const lines = moved.flatMap((span) => {
      const device = span.where.split(' → ').at(-1)!;
      return shown.includes(device) ? [bar(span, device, y.bandwidth() - 3, 3, span.kind === 'collective' ? 'mark m1' : 'moving')] : [];
    });
    const more = devices.length > shown.length ? `, ${devices.length - shown.length} more devices not drawn` : '';
    return `<style>.moving{fill:var(--soft)}</style>${[...grid, ...names, ...bars, ...lines].join('')}<text class="axis" x="${isNarrow ? 0 : left}" y="${height - 8}">${escapeHtml(`${unit}; one colour per piece, thin lines: transfers${more}`)}</text>`;
  });
}
