/** Plots as SVG text: bars, points by layer, a histogram. Scales and ticks come from d3-scale; no script is needed to see them. */
import { scaleLinear, scalePoint } from 'd3-scale';

export interface PlotFrame {
  readonly title: string;
  /** What the numbers mean, with their unit. */
  readonly axis: string;
  /** Bars that are of one kind. */
  readonly oneColour?: boolean;
  /** Bars that come in groups of so many: each place of a group has a colour of its own. */
  readonly group?: number;
}

const WIDTH = 720;
const MARGIN = { top: 36, right: 24, bottom: 40, left: 64 };
const LABEL_WIDTH = 200;

/** Horizontal bars from zero, one per label; values below zero, and those that are no number, have no length. */
export function barPlot(frame: PlotFrame, bars: readonly { readonly label: string; readonly value: number; readonly text: string }[]): string {
  const height = MARGIN.top + bars.length * 34 + MARGIN.bottom;
  const length = (value: number): number => (Number.isFinite(value) ? Math.max(0, value) : 0);
  return responsive(frame, height, (width) => {
    const left = Math.min(LABEL_WIDTH, width * 0.46);
    const x = scaleLinear().domain([0, Math.max(...bars.map(({ value }) => length(value)), Number.MIN_VALUE)]).range([left, width - (width < WIDTH ? 70 : 100)]);
    const rows = bars.map(({ label, value, text }, i) => {
      const y = MARGIN.top + i * 34;
      return (
        `<text x="${left - 10}" y="${y + 18}" text-anchor="end">${escapeHtml(shorten(label, Math.floor(left / 7.8)))}<title>${escapeHtml(label)}</title></text>` +
        `<rect class="mark m${frame.oneColour ? 0 : (i % (frame.group ?? 4)) % 4}" x="${left}" y="${y + 4}" width="${Math.max(1, x(length(value)) - left).toFixed(1)}" height="20" rx="2"/>` +
        `<text x="${(x(length(value)) + 8).toFixed(1)}" y="${y + 18}">${escapeHtml(text)}</text>`
      );
    });
    const axis = width < WIDTH ? `<text class="axis" x="0" y="${height - 12}">` : `<text class="axis" x="${left}" y="${height - 12}">`;
    return `${rows.join('')}${axis}${escapeHtml(frame.axis)}</text>`;
  });
}

/** Letters of a label below a point, on a page and on a phone. */
const POINT_LABEL = { wide: 20, narrow: 14 };

/** One point per label, in order; labels are thinned out when there are many. */
export function pointPlot(frame: PlotFrame, points: readonly { readonly label: string; readonly value: number }[]): string {
  const height = 340;
  const values = points.filter(({ value }) => Number.isFinite(value)).map(({ value }) => drawable(value));
  const short = shortNames(points.map(({ label }) => label));
  return responsive(frame, height, (width) => {
    // Room for the first label, which ends below its point.
    const x = scalePoint<number>().domain(points.map((_, i) => i)).range([MARGIN.left + 56, width - MARGIN.right - 10]);
    const y = scaleLinear().domain(padded(values)).nice().range([height - MARGIN.bottom - 64, MARGIN.top]);
    const marks = points.map(({ label, value }, i) => {
      if (!Number.isFinite(value)) return '';
      const tip = `${label}: ${format(value)}`;
      return `<circle class="mark m0" cx="${x(i)!.toFixed(1)}" cy="${y(drawable(value)).toFixed(1)}" r="4"><title>${escapeHtml(tip)}</title></circle>`;
    });
    const every = Math.max(1, Math.ceil(points.length / (width < WIDTH ? 7 : 14)));
    const labels = points.map(({ label }, i) => {
      if (i % every !== 0) return '';
      const at = `${(x(i)! + 4).toFixed(1)},${height - MARGIN.bottom - 44}`;
      return `<text class="tick" text-anchor="end" transform="translate(${at}) rotate(-36)">${escapeHtml(tail(short(label), width < WIDTH ? POINT_LABEL.narrow : POINT_LABEL.wide))}</text>`;
    });
    return axisLines(y, frame.axis, width) + marks.join('') + labels.join('');
  });
}

/** Counts of equal bins between `low` and `high`, which are powers of ten. */
export function decadeHistogram(frame: PlotFrame & { readonly counted?: string }, counts: readonly number[], low: number, high: number): string {
  const height = 280;
  const x = scaleLinear().domain([low, high]).range([MARGIN.left, WIDTH - MARGIN.right]);
  const y = scaleLinear().domain([0, Math.max(1, ...counts)]).nice().range([height - MARGIN.bottom - 16, MARGIN.top]);
  const base = y(0);
  const step = (high - low) / counts.length;
  const marks = counts.map((count, i) => {
    const left = x(low + i * step);
    const width = Math.max(1, x(low + (i + 1) * step) - left - 1);
    return `<rect class="mark m0" x="${left.toFixed(1)}" y="${y(count).toFixed(1)}" width="${width.toFixed(1)}" height="${(base - y(count)).toFixed(1)}"><title>${count}</title></rect>`;
  });
  const ticks = Array.from({ length: Math.floor(high - low) + 1 }, (_, i) => low + i).map(
    (tick) => `<text class="tick" x="${x(tick).toFixed(1)}" y="${base + 16}" text-anchor="middle">${Number((10 ** tick).toPrecision(1))}</text>`,
  );
  const caption = `<text class="axis" x="${WIDTH - MARGIN.right}" y="${height - 8}" text-anchor="end">${escapeHtml(frame.axis)}</text>`;
  return svg(frame, height, axisLines(y, frame.counted ?? 'tokens') + marks.join('') + ticks.join('') + caption);
}

function axisLines(y: { (value: number): number; ticks(count: number): number[] }, caption: string, width = WIDTH): string {
  const lines = y.ticks(5).map((tick) => {
    const at = y(tick).toFixed(1);
    return (
      `<line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${at}" y2="${at}"/>` +
      `<text class="tick" x="${MARGIN.left - 8}" y="${Number(at) + 4}" text-anchor="end">${format(tick)}</text>`
    );
  });
  return lines.join('') + `<text class="axis" x="${width < WIDTH ? 4 : MARGIN.left}" y="${MARGIN.top - 14}">${escapeHtml(caption)}</text>`;
}

/** Of the drawing on a page and of the one on a phone, where the other would have to be scrolled or be too small to read. */
const NARROW = 360;

/** A figure with a drawing for wide pages and one for narrow ones, of which one is shown. */
export function responsive({ title }: PlotFrame, height: number | ((width: number) => number), draw: (width: number) => string): string {
  const drawing = (name: string, width: number): string => `<svg class="${name}" viewBox="0 0 ${width} ${typeof height === 'number' ? height : Math.ceil(height(width))}" role="img" aria-label="${escapeHtml(title)}">${draw(width)}</svg>`;
  return `<figure><figcaption>${escapeHtml(title)}</figcaption>${drawing('wide', WIDTH)}${drawing('narrow', NARROW)}</figure>`;
}

/** A figure of the width that all have, with its title. */
export function svg({ title }: PlotFrame, height: number, body: string): string {
  return (
    `<figure><figcaption>${escapeHtml(title)}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(title)}">${body}</svg></figure>`
  );
}

/** Axes have ticks only where differences of doubles still mean something; no figure of ours comes near. */
export function drawable(value: number): number {
  const held = Math.max(-1e12, Math.min(1e12, value));
  return Math.abs(held) < 1e-9 ? 0 : held;
}

/** The range of the values with some air; never empty. */
function padded(values: readonly number[]): [number, number] {
  if (values.length === 0) return [0, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const wide = high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high));
  const pad = (wide ? high - low : Math.abs(high) || 1) * 0.08;
  return [low - pad, high + pad];
}

/** Three significant digits without needless zeros. */
export function format(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? '∞' : value < 0 ? '−∞' : 'NaN';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Without what all names begin with, up to a dot, and without `.weight`. */
export function shortNames(names: readonly string[]): (name: string) => string {
  const [first = '', ...others] = names;
  const parts = first.split('.');
  let common = 0;
  while (others.length > 0 && common < parts.length - 1 && others.every((name) => name.startsWith(`${parts.slice(0, common + 1).join('.')}.`))) common++;
  const prefix = common === 0 ? '' : `${parts.slice(0, common).join('.')}.`;
  return (name) => name.slice(prefix.length).replace(/\.weight$/, '') || name;
}

/** The end of a long name, where layers and weights differ. */
function tail(text: string, length: number): string {
  const plain = text.replace(/(\.weight|\.out)$/, '');
  return plain.length <= length ? plain : `…${plain.slice(1 - length)}`;
}

/** Keeps both ends of a long name. */
export function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  const head = Math.ceil((length - 1) / 3);
  return `${text.slice(0, head)}…${text.slice(text.length - (length - 1 - head))}`;
}
