/** A plot of size against loss: the predicted front as a line, measured models as points with their names. */
import { scaleLinear, scaleLog } from 'd3-scale';
import { escapeHtml, format, type PlotFrame, svg } from './plots.js';

export interface TradePoint {
  readonly bytes: number;
  readonly loss: number;
}

export interface NamedTrade extends TradePoint {
  readonly name: string;
  /** Which mark: 0 to 3. */
  readonly mark: number;
}

const WIDTH = 720;
const HEIGHT = 400;
const LABEL = { width: 150, height: 15 };
const MARGIN = { top: 40, right: 28, bottom: 56, left: 76 };

/** Losses are drawn in logarithms; those that are zero or no number cannot be, and are left out. */
export function tradePlot(frame: PlotFrame, line: readonly TradePoint[], points: readonly NamedTrade[]): string {
  const isDrawable = ({ bytes, loss }: TradePoint): boolean => bytes >= 0 && Number.isFinite(bytes) && loss > 1e-12 && loss < 1e12;
  const [front, marks] = [line.filter(isDrawable), points.filter(isDrawable)];
  const all = [...front, ...marks];
  const [left, right] = [Math.min(...all.map(({ bytes }) => bytes), 1e12), Math.max(...all.map(({ bytes }) => bytes), 1)];
  const [low, high] = [Math.min(...all.map(({ loss }) => loss), 1e12), Math.max(...all.map(({ loss }) => loss), 1e-12)];
  const x = scaleLinear().domain(left < right ? [left, right] : [0, Math.max(1, right)]).nice().range([MARGIN.left, WIDTH - MARGIN.right]);
  const y = scaleLog().domain(low < high ? [low, high] : [1e-6, 1]).nice().range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const at = ({ bytes, loss }: TradePoint): string => `${x(bytes).toFixed(1)},${y(loss).toFixed(1)}`;
  const decades = y.ticks(6).filter((tick) => Math.abs(Math.log10(tick) - Math.round(Math.log10(tick))) < 1e-9);
  const grid = decades.map((tick) => `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/><text class="tick" x="${MARGIN.left - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${format(tick)}</text>`);
  const sizes = x.ticks(6).map((tick) => `<text class="tick" x="${x(tick).toFixed(1)}" y="${HEIGHT - MARGIN.bottom + 20}" text-anchor="middle">${size(tick)}</text>`);
  const path = front.length > 1 ? [`<polyline class="line" points="${front.map(at).join(' ')}"/>`] : [];
  const labels: { readonly name: string; readonly x: number; readonly y: number }[] = [];
  const dots = marks.map((point) => {
    const [cx, cy] = [x(point.bytes), y(point.loss)];
    const side = cx < WIDTH / 2 ? 1 : -1;
    // A label that would cover another moves down.
    let top = cy - 8;
    while (labels.some((other) => Math.abs(other.x - cx) < LABEL.width && Math.abs(other.y - top) < LABEL.height)) top += LABEL.height;
    const isNew = labels.every(({ name }) => name !== point.name);
    if (isNew) labels.push({ name: point.name, x: cx, y: top });
    const label = isNew ? `<text class="tick" x="${(cx + 9 * side).toFixed(1)}" y="${top.toFixed(1)}" text-anchor="${side === 1 ? 'start' : 'end'}">${escapeHtml(point.name)}</text>` : '';
    return `<circle class="mark m${point.mark % 4}" cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="5"><title>${escapeHtml(`${point.name}: ${size(point.bytes)}, ${format(point.loss)}`)}</title></circle>${label}`;
  });
  const captions = `<text class="axis" x="${MARGIN.left}" y="${MARGIN.top - 14}">${escapeHtml(frame.axis)}</text><text class="axis" x="${WIDTH - MARGIN.right}" y="${HEIGHT - 10}" text-anchor="end">size of the file</text>`;
  return svg(frame, HEIGHT, [...grid, ...sizes, ...path, ...dots, captions].join(''));
}

function size(bytes: number): string {
  if (bytes < 1e6) return `${format(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${format(bytes / 1e6)} MB` : `${format(bytes / 1e9)} GB`;
}
