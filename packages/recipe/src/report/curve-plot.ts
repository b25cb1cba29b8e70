/** A plot of curves over steps, with what each is called; drawn for wide pages and for narrow ones. */
import { scaleLinear } from 'd3-scale';
import { drawable, escapeHtml, format, type PlotFrame, responsive } from './plots.js';

export interface Curve {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** Behind the others. */
  readonly faint?: boolean;
  /** With a mark at each point. */
  readonly dots?: boolean;
}

export interface CurveFrame extends PlotFrame {
  /** What runs across. */
  readonly across: string;
  /** Lower than others. */
  readonly low?: boolean;
}

const MARGIN = { top: 44, right: 24, bottom: 48, left: 64 };
/** Points of one line: more cannot be told apart. */
const MOST = 600;

/** Points that are no numbers are left out; of a faint curve what is far above the rest is cut off at the top, of others nothing. */
export function curvePlot(frame: CurveFrame, curves: readonly Curve[]): string {
  const height = frame.low ? 200 : 340;
  const drawn = curves.map((curve) => ({ ...curve, points: thinned(curve.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)).map(({ x, y }) => ({ x, y: drawable(y) }))) }));
  const all = drawn.flatMap(({ points }) => points);
  const [left, right] = bounds(all.map(({ x }) => x), [0, 1]);
  const shown = drawn.flatMap(({ points, faint }) => (faint ? most(points.map(({ y }) => y)) : points.map(({ y }) => y)));
  const [low, high] = bounds(shown, [0, 1]);
  return responsive(frame, height, (width) => {
    const x = scaleLinear().domain([left, right]).range([MARGIN.left, width - MARGIN.right]);
    const y = scaleLinear().domain([low, high]).nice().range([height - MARGIN.bottom, MARGIN.top]).clamp(true);
    const grid = y.ticks(5).map((tick) => `<line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/><text class="tick" x="${MARGIN.left - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${format(tick)}</text>`);
    const ticks = x.ticks(width < 500 ? 4 : 8).map((tick) => `<text class="tick" x="${x(tick).toFixed(1)}" y="${height - MARGIN.bottom + 20}" text-anchor="middle">${format(tick)}</text>`);
    const lines = drawn.map(({ name, points, faint, dots }, i) => {
      const at = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ');
      const line = points.length > 1 ? `<polyline class="curve c${i % 4}${faint ? ' faint' : ''}" points="${at}"/>` : '';
      const marks = dots ? points.map((point) => `<circle class="mark m${i % 4}" cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3"><title>${escapeHtml(`${name}, ${frame.across} ${format(point.x)}: ${format(point.y)}`)}</title></circle>`) : [];
      return line + marks.join('');
    });
    // On a phone below the caption, which takes the whole width.
    const isNarrow = width < 500;
    const step = isNarrow ? Math.min(100, (width - MARGIN.left - MARGIN.right) / curves.length) : 100;
    const from = isNarrow ? MARGIN.left : width - MARGIN.right - step * curves.length;
    const top = isNarrow ? 25 : 10;
    const names = curves.length < 2 ? [] : curves.map(({ name, faint }, i) => `<rect class="mark m${i % 4}${faint ? ' faint' : ''}" x="${from + step * i}" y="${top}" width="10" height="10"/><text class="tick" x="${from + step * i + 15}" y="${top + 9}">${escapeHtml(name)}</text>`);
    const captions = `<text class="axis" x="4" y="19">${escapeHtml(frame.axis)}</text><text class="axis" x="${width - MARGIN.right}" y="${height - 8}" text-anchor="end">${escapeHtml(frame.across)}</text>`;
    return [...grid, ...ticks, ...lines, ...names, captions].join('');
  });
}

/** All but the highest half per cent. */
function most(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b).slice(0, Math.ceil(values.length * 0.995));
}

function bounds(values: readonly number[], fallback: readonly [number, number]): readonly [number, number] {
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  if (low > high) return fallback;
  return high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high), 1e-30) ? [low, high] : [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
}

function thinned<Point>(points: readonly Point[]): readonly Point[] {
  if (points.length <= MOST) return points;
  return Array.from({ length: MOST }, (_, i) => points[Math.round((i * (points.length - 1)) / (MOST - 1))]!);
}
