/** Transposes, casts, slices, pads, concatenations and look-ups after one another become one, or none. */
import { type DType, dtypeOfOnnx, dtypes } from '../../dtype.js';
import { attribute } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

export const mergeTranspose: Rule = {
  name: 'merge-transpose',
  phase: 'clean',
  ops: ['Transpose'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Transpose');
    const rank = node.ints('perm')?.length ?? inner?.ints('perm')?.length ?? c.shape(node.input(0))?.length;
    const source = inner?.input(0);
    if (!inner || !source || rank === undefined) return false;
    const reversed = Array.from({ length: rank }, (_, i) => rank - 1 - i);
    const [outer, first] = [node.ints('perm') ?? reversed, inner.ints('perm') ?? reversed];
    const perm = outer.map((axis) => first[axis]!);
    if (perm.every((axis, i) => axis === i)) return c.bypass(node, source);
    return c.isPrivate(node.input(0)!) && c.become(node, 'Transpose', [source], { perm: attribute.ints(perm) });
  },
};

/** True when every value of `from` is exact in `to`. */
export function isExact(from: DType, to: DType): boolean {
  const [a, b] = [dtypes[from], dtypes[to]];
  if (from === to) return true;
  if (a.kind === 'bool') return b.kind !== 'string' && b.kind !== 'complex' && b.bits >= 8 && (b.kind !== 'float' || b.bits >= 16);
  if (a.kind === 'float' && b.kind === 'float') return (to === 'float64' && a.bits <= 32) || (to === 'float32' && a.bits <= 16);
  if (a.kind === 'uint' && (b.kind === 'uint' || b.kind === 'int')) return b.bits > a.bits;
  if (a.kind === 'int' && b.kind === 'int') return b.bits > a.bits;
  if ((a.kind === 'int' || a.kind === 'uint') && b.kind === 'float') return (to === 'float64' && a.bits <= 32) || (to === 'float32' && a.bits <= 16);
  return false;
}

/** The first of two casts goes when it loses nothing. */
export const mergeCast: Rule = {
  name: 'merge-cast',
  phase: 'clean',
  ops: ['Cast'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Cast');
    const source = inner?.input(0);
    const [from, middle, to] = [c.dtype(source), inner && dtypeOfOnnx.get(inner.int('to', 0)), dtypeOfOnnx.get(node.int('to', 0))];
    if (!inner || !source || !from || !middle || !to || !isExact(from, middle)) return false;
    if (from === to) return c.bypass(node, source);
    node.setInput(0, source);
    return true;
  },
};

interface SliceParts {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly axes: readonly number[];
  readonly steps: readonly number[];
}

/** Everything about a slice as numbers, axes from the front. */
function sliceParts(node: Node, c: Rewriter): SliceParts | undefined {
  const starts = node.ints('starts') ?? c.numbers(node.input(1));
  const ends = node.ints('ends') ?? c.numbers(node.input(2));
  const given = node.ints('axes') ?? (node.input(3) ? c.numbers(node.input(3)) : starts?.map((_, i) => i));
  const steps = node.input(4) ? c.numbers(node.input(4)) : starts?.map(() => 1);
  const rank = c.shape(node.input(0))?.length;
  if (!starts || !ends || !given || !steps || (rank === undefined && given.some((axis) => axis < 0))) return undefined;
  return { starts, ends, axes: given.map((axis) => (axis < 0 ? axis + rank! : axis)), steps };
}

/** Slices along different axes at once. */
export const mergeSlice: Rule = {
  name: 'merge-slice',
  phase: 'clean',
  stores: true,
  ops: ['Slice'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Slice');
    const source = inner?.input(0);
    if (!inner || !source || !c.isPrivate(node.input(0)!)) return false;
    const [a, b] = [sliceParts(inner, c), sliceParts(node, c)];
    if (!a || !b || a.axes.some((axis) => b.axes.includes(axis))) return false;
    const all = { starts: [...a.starts, ...b.starts], ends: [...a.ends, ...b.ends], axes: [...a.axes, ...b.axes], steps: [...a.steps, ...b.steps] };
    if (c.opset < 10) {
      return c.become(node, 'Slice', [source], { starts: attribute.ints(all.starts), ends: attribute.ints(all.ends), axes: attribute.ints(all.axes) });
    }
    const name = node.output(0).name;
    const list = (part: 'starts' | 'ends' | 'axes' | 'steps'): Value => c.addNumbers(node, 'int64', all[part], `${name}/${part}`);
    return c.become(node, 'Slice', [source, list('starts'), list('ends'), list('axes'), ...(all.steps.some((step) => step !== 1) ? [list('steps')] : [])]);
  },
};

/** A Concat inside a Concat along the same axis, and a Split that is put together again. */
export const mergeConcat: Rule = {
  name: 'merge-concat',
  phase: 'clean',
  ops: ['Concat'],
  apply(node, c) {
    const rank = c.shape(node.output(0))?.length;
    const axisOf = (of: Node): number => { const axis = of.int('axis', c.opset < 4 ? 1 : 0); return axis < 0 && rank !== undefined ? axis + rank : axis; };
    const split = c.producer(node.input(0), 'Split');
    if (split?.outputs.length === node.inputs.length && axisOf(split) === axisOf(node) && split.outputs.every((value, i) => node.inputs[i] === value)) {
      return c.bypass(node, split.input(0)!);
    }
    const parts = node.inputs.map((value) => {
      const inner = c.producer(value, 'Concat');
      return inner && c.isPrivate(value!) && axisOf(inner) === axisOf(node) ? inner.inputs : [value];
    });
    return parts.some((list, i) => list[0] !== node.inputs[i]) && c.become(node, 'Concat', parts.flat(), { axis: node.int('axis', 1) });
  },
};

/** Zero padding after padding with the same value. */
export const mergePad: Rule = {
  name: 'merge-pad',
  phase: 'clean',
  stores: true,
  ops: ['Pad'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Pad');
    const source = inner?.input(0);
    if (!inner || !source || c.opset < 11 || !c.isPrivate(node.input(0)!) || node.inputs.length > 3 || inner.inputs.length > 3) return false;
    const value = (of: Node): number | undefined => (of.input(2) ? c.scalar(of.input(2)) : 0);
    const [a, b] = [c.numbers(inner.input(1)), c.numbers(node.input(1))];
    const fits = [node, inner].every((of) => of.string('mode', 'constant') === 'constant') && value(node) !== undefined && value(node) === value(inner);
    // Negative pads cut off, and what was cut does not come back.
    if (!fits || !a || !b || a.length !== b.length || [...a, ...b].some((pad) => pad < 0)) return false;
    return c.become(node, 'Pad', [source, c.addNumbers(node, 'int64', a.map((pad, i) => pad + b[i]!), `${node.output(0).name}/pads`), node.input(2)]);
  },
};

/** One element, looked up by a scalar and given its axis back, is looked up by a list of one. */
export const gatherUnsqueeze: Rule = {
  name: 'gather-unsqueeze',
  phase: 'clean',
  stores: true,
  ops: ['Unsqueeze'],
  apply(node, c) {
    const gather = c.producer(node.input(0), 'Gather');
    const index = c.constant(gather?.input(1));
    if (!gather || !index || index.shape.length > 0 || !c.isPrivate(node.input(0)!)) return false;
    const rank = c.shape(gather.input(0))?.length;
    const given = gather.int('axis', 0);
    const axis = given < 0 ? (rank === undefined ? undefined : given + rank) : given;
    const axes = c.axes(node);
    if (axis === undefined || axes?.length !== 1 || (axes[0]! < 0 ? (rank === undefined ? undefined : axes[0]! + rank) : axes[0]) !== axis) return false;
    const list = c.addNumbers(node, index.dtype, [c.scalar(gather.input(1))!], `${node.output(0).name}/indices`);
    return c.become(node, 'Gather', [gather.input(0), list], { axis });
  },
};

/** Neighbours of a Concat that look up rows of the same value do it at once. */
export const concatGather: Rule = {
  name: 'concat-gather',
  phase: 'clean',
  stores: true,
  ops: ['Concat'],
  apply(node, c) {
    const axis = node.int('axis', 0);
    if (axis < 0) return false;
    const lookup = (value: Value | null | undefined): { node: Node; indices: readonly number[] } | undefined => {
      const gather = c.producer(value, 'Gather');
      const indices = gather && c.constant(gather.input(1))?.shape.length === 1 ? c.numbers(gather.input(1)) : undefined;
      return gather && indices && gather.int('axis', 0) === axis && c.isPrivate(value!) ? { node: gather, indices } : undefined;
    };
    for (let i = 0; i + 1 < node.inputs.length; i++) {
      const [a, b] = [lookup(node.inputs[i]), lookup(node.inputs[i + 1])];
      if (!a || !b || a.node.input(0) !== b.node.input(0) || c.dtype(a.node.input(1)) !== c.dtype(b.node.input(1))) continue;
      const indices = c.addNumbers(node, c.dtype(a.node.input(1))!, [...a.indices, ...b.indices], `${node.output(0).name}/indices`);
      const both = c.insert(node, 'Gather', [a.node.input(0), indices], { axis });
      const inputs = node.inputs.flatMap((value, k) => (k === i ? [both] : k === i + 1 ? [] : [value]));
      return inputs.length === 1 ? c.bypass(node, both) : c.become(node, 'Concat', inputs, { axis });
    }
    return false;
  },
};

const REDUCTIONS = ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceSumSquare'] as const;

/** Axes that a reduction keeps only for a Squeeze, or drops only for an Unsqueeze. */
export const reduceSqueeze: Rule = {
  name: 'reduce-squeeze',
  phase: 'clean',
  ops: ['Squeeze', 'Unsqueeze'],
  apply(node, c) {
    const reduce = c.producer(node.input(0), ...REDUCTIONS);
    const rank = c.shape(reduce?.input(0))?.length;
    if (!reduce || rank === undefined || !c.isPrivate(node.input(0)!)) return false;
    if (reduce.int('keepdims', 1) !== (node.opType === 'Squeeze' ? 1 : 0)) return false;
    const list = (of: Node): string | undefined => { const axes = c.axes(of); return axes?.length ? axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b).join() : undefined; };
    if (list(reduce) === undefined || list(reduce) !== list(node)) return false;
    const attributes = Object.fromEntries(reduce.attributes);
    return c.become(node, reduce.opType, reduce.inputs, { ...attributes, keepdims: node.opType === 'Squeeze' ? 0 : 1 });
  },
};
