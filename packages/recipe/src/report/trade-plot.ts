/** A plot of size against loss: the predicted front as a line, measured models as points with their names. */
import { scaleLog } from 'd3-scale';
import { escapeHtml, format, type PlotFrame, responsive } from './plots.js';

export interface TradePoint {
  readonly bytes: number;
  readonly loss: number;
}

export interface NamedTrade extends TradePoint {
  readonly name: string;
  /** Which mark: 0 to 3. */
  readonly mark: number;
}

export interface TradeFrame extends PlotFrame {
  /** What the bytes are of. */
  readonly sizes: string;
}

const HEIGHT = 400;
/** Of a label: about its height, and the width of a letter. */
const LABEL = { height: 15, letter: 6.4 };
const MARGIN = { top: 40, right: 28, bottom: 56, left: 62 };

/** Both in logarithms; a loss that is zero or no number cannot be drawn, and is left out. Twice, for wide and for narrow pages. */
export function tradePlot(frame: TradeFrame, line: readonly TradePoint[], points: readonly NamedTrade[]): string {
  const isDrawable = ({ bytes, loss }: TradePoint): boolean => bytes >= 1 && bytes < 1e15 && loss > 1e-12 && loss < 1e12;
  const [front, marks] = [line.filter(isDrawable), points.filter(isDrawable)];
  const all = [...front, ...marks];
  const [left, right] = [Math.min(...all.map(({ bytes }) => bytes), 1e15), Math.max(...all.map(({ bytes }) => bytes), 1)];
  const [low, high] = [Math.min(...all.map(({ loss }) => loss), 1e12), Math.max(...all.map(({ loss }) => loss), 1e-12)];
  return responsive(frame, HEIGHT, (width) => {
    const x = scaleLog().domain(left < right ? [left / 1.1, right * 1.1] : [1e3, 1e6]).range([MARGIN.left, width - MARGIN.right]);
    const y = scaleLog().domain(low < high ? [low, high] : [1e-6, 1]).nice().range([HEIGHT - MARGIN.bottom, MARGIN.top]);
    const at = ({ bytes, loss }: TradePoint): string => `${x(bytes).toFixed(1)},${y(loss).toFixed(1)}`;
    const decades = y.ticks(6).filter((tick) => Math.abs(Math.log10(tick) - Math.round(Math.log10(tick))) < 1e-9);
    const every = Math.ceil(decades.length / 8);
    const grid = decades.filter((_, i) => i % every === 0).map((tick) => `<line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/><text class="tick" x="${MARGIN.left - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${decade(tick)}</text>`);
    const sizes = sizeTicks(x.domain() as [number, number], width).map((tick) => `<text class="tick" x="${x(tick).toFixed(1)}" y="${HEIGHT - MARGIN.bottom + 20}" text-anchor="middle">${size(tick)}</text>`);
    const path = front.length > 1 ? [`<polyline class="line" points="${front.map(at).join(' ')}"/>`] : [];
    const dots = labelled(marks.map((point) => ({ ...point, cx: x(point.bytes), cy: y(point.loss) })), width);
    const captions = `<text class="axis" x="4" y="${MARGIN.top - 22}">${escapeHtml(frame.axis)}</text><text class="axis" x="${width - MARGIN.right}" y="${HEIGHT - 10}" text-anchor="end">${escapeHtml(frame.sizes)}</text>`;
    return [...grid, ...sizes, ...path, ...dots, captions].join('');
  });
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
}

/** Names beside their marks, on the side where there is room; one that would cover another, or a mark, moves down, then up. A name is written once. */
function labelled(marks: readonly (NamedTrade & { readonly cx: number; readonly cy: number })[], width: number): string[] {
  const boxes: Box[] = [];
  const named = new Set<string>();
  const last = new Map(marks.map((mark, i) => [mark.name, i]));
  return marks.map(({ name, bytes, loss, mark, cx, cy }, index) => {
    const dot = `<circle class="mark m${mark % 4}" cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="5"><title>${escapeHtml(`${name}: ${size(bytes)}, ${format(loss)}`)}</title></circle>`;
    if (named.has(name) || last.get(name) !== index) return dot;
    named.add(name);
    const shown = name.length > 40 ? `${name.slice(0, 39)}…` : name;
    const long = shown.length * LABEL.letter;
    const side = cx + 9 + long < width - 4 ? 1 : -1;
    const box = (top: number): Box => (side === 1 ? { left: cx + 9, right: cx + 9 + long, top } : { left: cx - 9 - long, right: cx - 9, top });
    const free = ({ left, right, top }: Box): boolean =>
      top > MARGIN.top - 10 && top < HEIGHT - MARGIN.bottom + 4 &&
      boxes.every((other) => right < other.left || left > other.right || Math.abs(top - other.top) >= LABEL.height) &&
      marks.every((other) => other.cx + 5 < left || other.cx - 5 > right || other.cy + 5 < top - 10 || other.cy - 5 > top + 3);
    const tries = [4, -8, 16, ...Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 1 : -1) * LABEL.height * (2 + Math.floor(i / 2)))];
    const place = box(cy + (tries.find((offset) => free(box(cy + offset))) ?? 4));
    boxes.push(place);
    const text = `<text class="tick" x="${(side === 1 ? place.left : place.right).toFixed(1)}" y="${place.top.toFixed(1)}" text-anchor="${side === 1 ? 'start' : 'end'}">${escapeHtml(shown)}</text>`;
    return dot + text;
  });
}

/** 1, 2 and 5 times powers of ten, thinned out until they have room. */
function sizeTicks([low, high]: readonly [number, number], width: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) for (const digit of [1, 2, 5]) ticks.push(digit * 10 ** power);
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  const every = Math.max(1, Math.ceil(inside.length / (width / 70)));
  return inside.filter((_, i) => i % every === 0);
}

function decade(value: number): string {
  return value < 1e-3 || value >= 1e4 ? `1e${Math.round(Math.log10(value))}` : String(value);
}

function size(bytes: number): string {
  if (bytes < 1e6) return `${format(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${format(bytes / 1e6)} MB` : `${format(bytes / 1e9)} GB`;
}
