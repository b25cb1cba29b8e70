/** Reference kernels of control flow and of sequences. */
import type { OpName } from '../ops/lookup.js';
import { normalizeAxis } from '../shape.js';
import { allocate, arrayOf, type Item, type NdArray, numbers, reshaped, scalar } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';
import { concatenate, part } from './movement.js';

const arrayIn = (item: Item | undefined): NdArray => {
  if (item?.kind !== 'array') throw new TypeError('a tensor was expected');
  return item;
};

/** Slices stacked along a new axis. */
function stack(list: readonly Item[], axis: number): NdArray {
  const arrays = list.map(arrayIn);
  const rank = arrays[0]!.shape.length + 1;
  const at = normalizeAxis(axis, rank);
  return concatenate(arrays.map((x) => reshaped(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])), at);
}

function slice(x: NdArray, axis: number, at: number): NdArray {
  return reshaped(part(x, axis, at, at + 1), x.shape.filter((_, i) => i !== axis));
}

const loop: Kernel = (c) => {
  const body = c.node.subgraph('body')!;
  const trips = c.number(0, Infinity);
  let going = c.number(1, 1) !== 0;
  const states = body.inputs.length - 2;
  let state = Array.from({ length: states }, (_, i) => c.item(i + 2));
  const scans: Item[][] = Array.from({ length: body.outputs.length - 1 - states }, () => []);
  for (let i = 0; i < trips && going; i++) {
    const out = c.subgraph(body, [scalar('int64', i), scalar('bool', Number(going)), ...state]);
    going = numbers(arrayIn(out[0]))[0] !== 0;
    state = out.slice(1, 1 + states);
    out.slice(1 + states).forEach((item, k) => scans[k]!.push(item));
  }
  return [...state, ...scans.map((list, k) => {
    if (list.length > 0) return stack(list, 0);
    const type = body.outputs[1 + states + k]!.type;
    const known = type?.kind === 'tensor' ? type : undefined;
    return arrayOf(known?.dtype ?? 'float32', [0, ...(known?.shape ?? []).map((dim) => (typeof dim === 'number' ? dim : 0))], allocate(known?.dtype ?? 'float32', 0));
  })];
};

const scan: Kernel = (c) => {
  if (c.opset < 9) return scanBatched(c);
  const body = c.node.subgraph('body')!;
  const scanned = c.node.int('num_scan_inputs', 0);
  const states = c.count - scanned;
  return scanOnce(c, Array.from({ length: states }, (_, i) => c.item(i)), Array.from({ length: scanned }, (_, i) => c.array(states + i)), body.outputs.length - states);
};

function scanOnce(c: KernelContext, initial: readonly Item[], inputs: readonly NdArray[], outputs: number): Item[] {
  const body = c.node.subgraph('body')!;
  const at = (name: string, i: number): number => c.node.ints(name)?.[i] ?? 0;
  const axes = inputs.map((x, i) => normalizeAxis(at('scan_input_axes', i), x.shape.length));
  const length = inputs[0]!.shape[axes[0]!]!;
  let state = [...initial];
  const scans: Item[][] = Array.from({ length: outputs }, () => []);
  const directions = (c.opset < 9 ? 'directions' : 'scan_input_directions');
  for (let t = 0; t < length; t++) {
    const slices = inputs.map((x, i) => slice(x, axes[i]!, at(directions, i) === 1 ? length - 1 - t : t));
    const out = c.subgraph(body, [...state, ...slices]);
    state = out.slice(0, state.length);
    out.slice(state.length).forEach((item, k) => (at('scan_output_directions', k) === 1 ? scans[k]!.unshift(item) : scans[k]!.push(item)));
  }
  return [...state, ...scans.map((list, k) => stack(list, at('scan_output_axes', k)))];
}

/** Opset 8: a leading optional input of sequence lengths, and a batch axis before everything. */
function scanBatched(c: KernelContext): Item[] {
  const body = c.node.subgraph('body')!;
  const scanned = c.node.int('num_scan_inputs', 0);
  const states = c.count - 1 - scanned;
  if (c.has(0)) throw c.unsupported('Scan of opset 8 with sequence lengths');
  const all = Array.from({ length: c.count - 1 }, (_, i) => c.array(i + 1));
  const batch = all[0]!.shape[0]!;
  const runs = Array.from({ length: batch }, (_, b) => {
    const rows = all.map((x) => slice(x, 0, b));
    return scanOnce(c, rows.slice(0, states), rows.slice(states), body.outputs.length - states);
  });
  return body.outputs.map((_, i) => stack(runs.map((run) => run[i]!), 0));
}

const items = (c: KernelContext, index: number): readonly Item[] => {
  const item = c.item(index);
  if (item.kind !== 'sequence') throw new TypeError('a sequence was expected');
  return item.items;
};

const position = (at: number, length: number): number => (at < 0 ? at + length : at);

const splitToSequence: Kernel = (c) => {
  const x = c.array(0);
  const axis = normalizeAxis(c.node.int('axis', 0), x.shape.length);
  const total = x.shape[axis]!;
  const given = c.optional(1);
  const each = given ? numbers(given)[0]! : 1;
  const sizes = given && given.shape.length > 0 ? [...numbers(given)] : Array.from({ length: Math.ceil(total / each) }, (_, i) => Math.min(each, total - i * each));
  let at = 0;
  const parts = sizes.map((size) => part(x, axis, at, (at += size)));
  const keep = given !== undefined || c.node.int('keepdims', 1) === 1;
  return [{ kind: 'sequence', items: keep ? parts : parts.map((p) => reshaped(p, p.shape.filter((_, i) => i !== axis))) }];
};

export const controlKernels = {
  If(c) {
    const chosen = c.numbers(0)[0] !== 0 ? 'then_branch' : 'else_branch';
    return c.subgraph(c.node.subgraph(chosen)!, []);
  },
  Loop: loop, Scan: scan,
  SequenceEmpty: () => [{ kind: 'sequence', items: [] }],
  SequenceConstruct: (c) => [{ kind: 'sequence', items: c.items.map((_, i) => c.item(i)) }],
  SequenceAt: (c) => [items(c, 0).at(c.number(1, 0))],
  SequenceLength: (c) => [scalar('int64', items(c, 0).length)],
  SequenceInsert(c) {
    const list = [...items(c, 0)];
    list.splice(position(c.number(2, list.length), list.length), 0, c.item(1));
    return [{ kind: 'sequence', items: list }];
  },
  SequenceErase(c) {
    const list = [...items(c, 0)];
    list.splice(position(c.number(1, list.length - 1), list.length), 1);
    return [{ kind: 'sequence', items: list }];
  },
  SplitToSequence: splitToSequence,
  ConcatFromSequence(c) {
    const axis = c.node.int('axis', 0);
    return [c.node.int('new_axis', 0) === 1 ? stack(items(c, 0), axis) : concatenate(items(c, 0).map(arrayIn), axis)];
  },
  SequenceMap(c) {
    const body = c.node.subgraph('body')!;
    const length = items(c, 0).length;
    const runs = Array.from({ length }, (_, i) => c.subgraph(body, c.items.map((item, k): Item => (item?.kind === 'sequence' ? item.items[i]! : c.item(k)))));
    return body.outputs.map((_, k): Item => ({ kind: 'sequence', items: runs.map((run) => run[k]!) }));
  },
  Optional(c) {
    return [c.has(0) ? c.item(0) : { kind: 'empty' }];
  },
  OptionalHasElement: (c) => [scalar('bool', Number(c.has(0) && c.item(0).kind !== 'empty'))],
  OptionalGetElement: (c) => [c.item(0)],
} satisfies Partial<Record<OpName, Kernel>>;

