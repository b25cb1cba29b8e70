/** Chains of Reshape, Flatten, Squeeze and Unsqueeze become one of them; targets that are mostly known become constants. */
import type { Node } from '../../graph/node.js';
import { sameDim } from '../../infer/dims.js';
import type { Dims } from '../../infer/rule.js';
import type { Dim } from '../../shape.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

const MOVES_NOTHING = ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'] as const;

/** Axes counted from the front; undefined when they are computed or the rank they refer to is unknown. */
function frontAxes(node: Node, rank: number | undefined, c: Rewriter): number[] | undefined {
  const axes = c.axes(node);
  if (!axes || (rank === undefined && axes.some((axis) => axis < 0))) return undefined;
  return axes.map((axis) => (axis < 0 ? axis + rank! : axis)).sort((a, b) => a - b);
}

/** Unsqueeze of Unsqueeze, Squeeze of Squeeze, and the two that undo each other. */
export const mergeUnsqueeze: Rule = {
  name: 'merge-unsqueeze',
  phase: 'clean',
  stores: true,
  ops: ['Unsqueeze', 'Squeeze'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Squeeze', 'Unsqueeze');
    const source = inner?.input(0);
    if (!inner || !source) return false;
    const middle = c.shape(node.input(0))?.length;
    const added = (of: Node, rank: number | undefined): number | undefined => {
      const axes = c.axes(of);
      return rank === undefined || !axes ? undefined : rank + axes.length;
    };
    const outerAxes = frontAxes(node, node.opType === 'Squeeze' ? middle : added(node, middle), c);
    const innerAxes = frontAxes(inner, inner.opType === 'Unsqueeze' ? middle : added(inner, middle), c);
    if (!outerAxes || !innerAxes || outerAxes.length === 0 || innerAxes.length === 0) return false;
    if (node.opType !== inner.opType) {
      return outerAxes.join() === innerAxes.join() && c.bypass(node, source);
    }
    if (!c.isPrivate(node.input(0)!)) return false;
    const axes = node.opType === 'Unsqueeze' ? placed(outerAxes, innerAxes) : placed(innerAxes, outerAxes);
    const { inputs, attributes } = c.axesFor(node, axes);
    return c.become(node, node.opType, [source, ...inputs], attributes);
  },
};

/** Where the `inner` axes of a tensor stand once the `outer` ones are added to it, with those. */
function placed(outer: readonly number[], inner: readonly number[]): number[] {
  const taken = new Set(outer);
  const free: number[] = [];
  for (let at = 0; free.length <= Math.max(...inner); at++) if (!taken.has(at)) free.push(at);
  return [...outer, ...inner.map((axis) => free[axis]!)].sort((a, b) => a - b);
}

/** A reshape of something that only another reshape reads. */
export const mergeReshape: Rule = {
  name: 'merge-reshape',
  phase: 'clean',
  stores: true,
  ops: ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'],
  apply(node, c) {
    const inner = c.producer(node.input(0), ...MOVES_NOTHING);
    const source = inner?.input(0);
    if (!inner || !source) return false;
    const [before, after] = [c.shape(source), c.shape(node.output(0))];
    if (before && after && sameShape(before, after)) return c.bypass(node, source);
    if (!c.isPrivate(node.input(0)!) || c.opset < 5) return false;
    // Two Squeezes stay one Squeeze, which says more than a target does.
    if (node.opType === inner.opType && (node.opType === 'Squeeze' || node.opType === 'Unsqueeze')) return false;
    const target = targetOf(node, before, after, c);
    return target !== undefined && c.become(node, 'Reshape', [source, c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`)]);
  },
};

const sameShape = (a: Dims, b: Dims): boolean => a.length === b.length && a.every((dim, i) => sameDim(dim, b[i]!));

/** A target for a reshape of `before` to `after`: sizes, 0 for a size that stays in place, one -1. */
function targetOf(node: Node, before: Dims | undefined, after: Dims | undefined, c: Rewriter): number[] | undefined {
  if (node.opType === 'Reshape') {
    const given = c.numbers(node.input(1));
    if (given && !given.includes(0)) return [...given];
  }
  return after && knownTarget(after, before);
}

function knownTarget(wanted: readonly Dim[], before: Dims | undefined): number[] | undefined {
  let open = 0;
  const target = wanted.map((dim, i) => {
    if (typeof dim === 'number' && dim > 0) return dim;
    if (dim !== null && dim !== -1 && dim !== 0 && before && sameDim(dim, before[i] ?? null)) return 0;
    open++;
    // A size of 0 cannot be told from "keep" here, so it is left alone.
    return dim === 0 ? NaN : -1;
  });
  return open <= 1 && !target.some(Number.isNaN) ? target : undefined;
}

/** A Transpose that moves only axes of size 1 past the others is a Reshape: worth it beside another one, which then takes both. */
export const transposeReshape: Rule = {
  name: 'transpose-reshape',
  phase: 'clean',
  stores: true,
  ops: ['Transpose'],
  apply(node, c) {
    const [before, after] = [c.shape(node.input(0)), c.shape(node.output(0))];
    const perm = node.ints('perm');
    if (!before || !after || !perm || perm.length !== before.length || c.opset < 5) return false;
    const moved = perm.filter((axis) => before[axis] !== 1);
    if (moved.some((axis, i) => i > 0 && axis < moved[i - 1]!)) return false;
    const neighbour = (other: Node | undefined): boolean => other !== undefined && other.domain === '' && other.opType !== 'Squeeze' && (MOVES_NOTHING as readonly string[]).includes(other.opType);
    const reader = c.onlyReader(node.output(0));
    const beside = (c.isPrivate(node.input(0)!) && neighbour(node.input(0)!.producer)) || (neighbour(reader) && reader!.input(0) === node.output(0));
    const target = beside ? knownTarget(after, before) : undefined;
    return target !== undefined && c.become(node, 'Reshape', [node.input(0), c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`)]);
  },
};

/** The computed target of a Reshape, all but one of whose sizes are known or stay as they are. */
export const reshapeTarget: Rule = {
  name: 'reshape-target',
  phase: 'clean',
  stores: true,
  ops: ['Reshape'],
  apply(node, c) {
    const shape = node.input(1);
    if (!shape || c.weight(shape) || node.int('allowzero', 0) !== 0) return false;
    const before = c.shape(node.input(0));
    const [values, after] = [c.values(shape), c.shape(node.output(0))];
    if (!values && !after) return false;
    if (values && after && values.length !== after.length) return false;
    const wanted = (after ?? values!).map((dim, i): Dim => {
      const value = values?.[i] ?? null;
      if (typeof dim === 'number' && dim > 0) return dim;
      return value ?? dim;
    });
    const target = knownTarget(wanted, before);
    if (!target) return false;
    node.setInput(1, c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`));
    return true;
  },
};

/** The computed target of an Expand: a size that the input has already is written as 1. */
export const expandTarget: Rule = {
  name: 'expand-target',
  phase: 'clean',
  stores: true,
  ops: ['Expand'],
  apply(node, c) {
    const shape = node.input(1);
    const [values, before] = [c.values(shape), c.shape(node.input(0))];
    if (!shape || c.weight(shape) || !values || !before) return false;
    const shift = values.length - before.length;
    const target = values.map((dim, i) => (typeof dim === 'number' && dim > 0 ? dim : dim !== null && dim !== 0 && i >= shift && sameDim(dim, before[i - shift]!) ? 1 : NaN));
    if (target.some(Number.isNaN)) return false;
    node.setInput(1, c.addNumbers(node, 'int64', target, `${node.output(0).name}/shape`));
    return true;
  },
};
