/**
 * The variables of a PyTorch program while it becomes a graph. PyTorch writes into tensors and into views of them; a graph
 * cannot. A variable is therefore a cell: writing puts a new value into it and into the tensor that it is a view of, and
 * other views of that tensor are taken again when they are read.
 */
import { PenjingError, type Value } from '@penjing/core';
import { atenLimits } from '../../limits.js';
import type { AtenContext } from './context.js';
import { callAten, isInPlace } from './table.js';
import { isValue } from './values.js';

/** A view as the call that made it; `item` of a call that gives several. */
interface ViewOf {
  readonly base: Cell;
  readonly target: string;
  readonly rest: readonly unknown[];
  readonly keyword: Readonly<Record<string, unknown>>;
  readonly item: number | undefined;
}

/** A tensor of the program. */
export interface Cell {
  readonly kind: 'cell';
  value: Value;
  /** Grows with every write. */
  version: number;
  readonly view?: ViewOf;
  /** The version of the base that `value` was taken from. */
  seen: number;
  /** How many views stand between this and a tensor of its own. */
  readonly depth: number;
}

export function isCell(value: unknown): value is Cell {
  return typeof value === 'object' && value !== null && (value as Cell).kind === 'cell';
}

type Writer = (c: AtenContext, base: Value, written: Value, view: ViewOf) => Value;

const reshaped: Writer = (c, base, written) => c.reshape(written, c.sizes(base));
/** The call that undoes itself, on the written view. */
const again: Writer = (c, _, written, { target, rest, keyword }) => callAten(c, target, [written, ...rest], keyword) as Value;
const through = (target: string): Writer => (c, base, written, { rest, keyword }) => callAten(c, target, [base, written, ...rest], keyword) as Value;
const whole: Writer = (_, __, written) => written;

/** Operators that give views of their first argument, and how a write into the view reaches it. */
const views: Readonly<Record<string, Writer | undefined>> = {
  select: through('aten.select_scatter.default'), slice: through('aten.slice_scatter.default'),
  view: reshaped, reshape: reshaped, _unsafe_view: reshaped, flatten: reshaped, unflatten: reshaped, view_as: reshaped, reshape_as: reshaped,
  squeeze: reshaped, unsqueeze: reshaped, t: again, transpose: again, swapaxes: again, swapdims: again, mT: again,
  alias: whole, detach: whole, contiguous: whole, lift: whole, lift_fresh: whole,
  permute: (c, _, written, { rest, keyword }) => {
    const dims = c.axes((rest[0] ?? keyword['dims']) as readonly number[], c.rank(written));
    const back = new Array<number>(dims.length);
    dims.forEach((axis, i) => (back[axis] = i));
    return c.transpose(written, back);
  },
  narrow: (c, base, written, { rest }) => {
    const [dim, start, length] = rest as [number, number, number];
    return callAten(c, 'aten.slice_scatter.default', [base, written, dim, start, c.math('Add', start, length)]) as Value;
  },
  unbind: (c, base, written, { rest, keyword, item }) =>
    callAten(c, 'aten.select_scatter.default', [base, written, (rest[0] ?? keyword['dim'] ?? 0), item!]) as Value,
  expand: undefined, expand_as: undefined, diagonal: undefined, split: undefined, split_with_sizes: undefined, chunk: undefined, unfold: undefined,
};

const nameOf = (target: string): string => target.replace(/^(torch\.ops\.)?aten(\.|::)/, '').split('.')[0]!;

export class Environment {
  readonly context: AtenContext;

  constructor(context: AtenContext) {
    this.context = context;
  }

  cell(value: Value, view?: ViewOf): Cell {
    const depth = view ? view.base.depth + 1 : 0;
    if (depth > atenLimits.views) throw new PenjingError('E_LIMIT', `${this.context.operator}: ${depth} views are made of each other`);
    return { kind: 'cell', value, version: 0, seen: view?.base.version ?? 0, depth, ...(view && { view }) };
  }

  /** The present value, after writes into the tensor that this is a view of. */
  read(cell: Cell): Value {
    const { view } = cell;
    if (!view) return cell.value;
    const base = this.read(view.base);
    if (cell.seen === view.base.version) return cell.value;
    const taken = callAten(this.context, view.target, [base, ...view.rest], view.keyword);
    cell.value = (view.item === undefined ? taken : (taken as readonly Value[])[view.item]) as Value;
    cell.version++;
    cell.seen = view.base.version;
    return cell.value;
  }

  /** Throws `E_UNSUPPORTED` for a view whose elements cannot be written back. */
  write(cell: Cell, value: Value): void {
    cell.value = value;
    cell.version++;
    const { view } = cell;
    if (!view) return;
    const writer = views[nameOf(view.target)];
    if (!writer) throw this.context.unsupported(`it writes into a view made by ${view.target}`, 'Clone the tensor before it is changed.');
    this.write(view.base, writer(this.context, this.read(view.base), value, view));
    cell.seen = view.base.version;
  }

  /** Arguments and results are cells where the program has tensors. */
  call(target: string, positional: readonly unknown[], keyword: Readonly<Record<string, unknown>> = {}): unknown {
    const { context } = this;
    const rest = Object.fromEntries(Object.entries(keyword).map(([name, value]) => [name, this.plain(value)]));
    const plain = positional.map((value) => this.plain(value));
    const { out } = keyword;
    if (target.endsWith('.out') && isCell(out)) {
      // The result goes into a tensor that is there already.
      delete rest['out'];
      const given = callAten(context, target.slice(0, -'.out'.length), plain, rest);
      this.write(out, context.cast(given as Value, context.dtype(this.read(out))));
      return out;
    }
    const result = callAten(context, target, plain, rest);
    const self = positional[0] ?? keyword['self'];
    if (isInPlace(target) && isCell(self)) {
      context.operator = target;
      const before = this.read(self);
      this.write(self, context.expand(context.cast(result as Value, context.dtype(before)), context.sizes(before)));
      return self;
    }
    const viewing = Object.hasOwn(views, nameOf(target)) && isCell(positional[0]);
    if (!viewing) return this.wrap(result);
    const view = (item: number | undefined): ViewOf => ({ base: positional[0] as Cell, target, rest: plain.slice(1), keyword: rest, item });
    if (Array.isArray(result)) return result.map((value: Value, i) => this.cell(value, view(i)));
    return this.cell(result as Value, view(undefined));
  }

  /** Values for cells, inside lists too. */
  plain(value: unknown): unknown {
    if (isCell(value)) return this.read(value);
    return Array.isArray(value) ? value.map((item) => this.plain(item)) : value;
  }

  /** Cells for values. */
  wrap(value: unknown): unknown {
    if (isValue(value)) return this.cell(value);
    return Array.isArray(value) ? value.map((item) => this.wrap(item)) : value;
  }
}
