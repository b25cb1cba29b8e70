/** Nodes that give their input back: Identity, Dropout at inference, casts, reshapes, slices and arithmetic without effect. */
import { dtypeOfOnnx } from '../../dtype.js';
import type { Node } from '../../graph/node.js';
import { sameDim, sameDims } from '../../infer/dims.js';
import type { Dims } from '../../infer/rule.js';
import type { OpName } from '../../ops/lookup.js';
import type { Dim } from '../../shape.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

type Test = (node: Node, context: Rewriter) => boolean;

/** The shape of the output is that of the input: then an operator that only moves elements in order moves none. */
const sameShapeOut: Test = (node, c) => sameDims(c.shape(node.input(0)), c.shape(node.output(0))) || atMostOneUnknown(c.shape(node.input(0)), c.shape(node.output(0)));

/** With equal counts of elements, one size that is not known is settled by the others. */
function atMostOneUnknown(a: Dims | undefined, b: Dims | undefined): boolean {
  if (!a || !b || a.length !== b.length || a.length === 0) return false;
  const open = a.flatMap((dim, i) => (sameDim(dim, b[i]!) ? [] : [i]));
  return open.length === 1 && a.every((dim, i) => i === open[0] || (typeof dim === 'number' && dim > 0));
}

const one: Test = (node) => node.inputs.length === 1;

/** Input `index` is a constant of this number everywhere, and broadcasting it leaves the other input's shape as it is. */
function neutral(index: number, number: number): Test {
  return (node, c) => {
    const tensor = c.constant(node.input(index));
    const numbers = tensor && (c.scalar(node.input(index)) !== undefined ? [c.scalar(node.input(index))!] : c.numbers(node.input(index)));
    if (!tensor || !numbers?.length || !numbers.every((x) => x === number)) return false;
    const [other, out] = [c.shape(node.input(1 - index)), c.shape(node.output(0))];
    const shift = (other?.length ?? 0) - tensor.shape.length;
    if (other && shift >= 0 && tensor.shape.every((dim, i) => dim === 1 || other[shift + i] === dim)) return true;
    return sameDims(other, out);
  };
}

const noPads: Test = (node, c) => {
  const pads = node.ints('pads') ?? node.ints('paddings') ?? (node.input(1) ? c.numbers(node.input(1)) : undefined);
  return pads !== undefined && pads.every((pad) => pad === 0);
};

/** The node gives its input back. */
const tests: { readonly [Op in OpName]?: Test } = {
  Identity: () => true,
  // Training with nothing to drop changes nothing either.
  Dropout: (node, c) => c.onlyFirstOutput(node) && (node.inputs.length < 3 || c.scalar(node.input(2)) === 0 || c.scalar(node.input(1)) === 0),
  Cast: (node, c) => c.dtype(node.input(0)) !== undefined && c.dtype(node.input(0)) === dtypeOfOnnx.get(node.int('to', 0)),
  CastLike: (node, c) => c.dtype(node.input(0)) !== undefined && c.dtype(node.input(0)) === c.dtype(node.input(1)),
  Transpose: (node) => node.ints('perm')?.every((axis, i) => axis === i) ?? false,
  Reshape: sameShapeOut,
  Flatten: sameShapeOut,
  Expand: (node, c) => sameDims(c.shape(node.input(0)), c.shape(node.output(0))),
  Squeeze: (node, c) => { const axes = c.axes(node); return axes?.length === 0 || (c.shape(node.input(0))?.length === 0); },
  Unsqueeze: (node, c) => c.axes(node)?.length === 0,
  Slice: (node, c) => wholeSlice(node, c),
  Gather: (node, c) => wholeGather(node, c),
  Tile: (node, c) => c.numbers(node.input(1))?.every((count) => count === 1) ?? false,
  Pad: noPads,
  Concat: one, Sum: one, Max: one, Min: one, Mean: one,
  Split: (node, c) => node.outputs.length === 1 && c.shape(node.input(0)) !== undefined,
  ReduceSum: (node, c) => noReduction(node, c), ReduceMean: (node, c) => noReduction(node, c), ReduceMax: (node, c) => noReduction(node, c),
  ReduceMin: (node, c) => noReduction(node, c), ReduceProd: (node, c) => noReduction(node, c),
  Clip: (node) => node.inputs.slice(1).every((value) => value === null) && node.float('min') === undefined && node.float('max') === undefined,
  Upsample: (node, c) => (node.floats('scales') ?? c.numbers(node.input(1)))?.every((scale) => scale === 1) ?? false,
  Add: neutral(1, 0), Sub: neutral(1, 0), Mul: neutral(1, 1), Div: neutral(1, 1), Pow: (node, c) => c.dtype(node.input(0)) === c.dtype(node.output(0)) && neutral(1, 1)(node, c),
};

/** From the start to the end in single steps along every axis. */
function wholeSlice(node: Node, c: Rewriter): boolean {
  const starts = node.ints('starts') ?? c.numbers(node.input(1));
  const ends = node.ints('ends') ?? c.values(node.input(2));
  const steps = node.input(4) ? c.numbers(node.input(4)) : starts?.map(() => 1);
  if (!starts || !ends || !steps?.every((step) => step === 1) || !starts.every((start) => start === 0)) return false;
  const shape = c.shape(node.input(0));
  const axes = node.input(3) ? c.numbers(node.input(3)) : (node.ints('axes') ?? starts.map((_, i) => i));
  return axes !== undefined && axes.every((axis, i) => {
    const end = ends[i] ?? null;
    if (typeof end === 'number' && end >= 2 ** 31 - 1) return true;
    const size: Dim = shape?.[axis < 0 ? axis + shape.length : axis] ?? null;
    return typeof end === 'number' && typeof size === 'number' ? end >= size : sameDim(size, end);
  });
}

/** Every element of an axis, in order. */
function wholeGather(node: Node, c: Rewriter): boolean {
  const [shape, indices] = [c.shape(node.input(0)), c.numbers(node.input(1))];
  const axis = node.int('axis', 0);
  return !!shape && !!indices && c.shape(node.input(1))?.length === 1 && shape[axis < 0 ? axis + shape.length : axis] === indices.length && indices.every((index, i) => index === i);
}

function noReduction(node: Node, c: Rewriter): boolean {
  if (node.int('noop_with_empty_axes', 0) === 1 && c.axes(node)?.length === 0) return true;
  const [shape, axes] = [c.shape(node.input(0)), c.axes(node)];
  return node.int('keepdims', 1) === 1 && !!shape && !!axes && axes.length > 0 && axes.every((axis) => shape[axis < 0 ? axis + shape.length : axis] === 1);
}

export const dropIdentity: Rule = {
  name: 'identity',
  phase: 'clean',
  ops: Object.keys(tests) as OpName[],
  apply(node, context) {
    if (!node.outputs[0]) return false;
    const test = tests[node.opType as OpName];
    if (test?.(node, context)) {
      const input = node.input(0);
      return input !== undefined && context.onlyFirstOutput(node) && context.bypass(node, input);
    }
    // Addition and multiplication the other way round.
    const mirrored = node.opType === 'Add' ? neutral(0, 0) : node.opType === 'Mul' ? neutral(0, 1) : undefined;
    return mirrored?.(node, context) === true && node.input(1) !== undefined && context.bypass(node, node.input(1)!);
  },
};
