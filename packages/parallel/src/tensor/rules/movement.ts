/** Sharding rules of operators that move, select or describe elements. */
import type { Value } from '@penjing/core';
import { type Dims, keptAxes, linear, type LocalNode, places, type ShardingRule, type ShardingRules, slot, type Slot, way, type Way } from '../rule.js';
import { reshapeWays, targetOf } from './reshape.js';

const at = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Axes by input axis: where each goes, or nowhere. */
function movedAxes(shape: Dims | undefined, out: Dims | undefined, inputCount: number, to: (axis: number) => number | undefined): Way[] {
  return (shape ?? []).flatMap((_, axis) => {
    const target = to(axis);
    return target === undefined ? [] : way(places(inputCount, { 0: slot(shape, axis) }), [slot(out, target)]);
  });
}

const transpose: ShardingRule = (c) => {
  const shape = c.shape(0);
  const perm = c.node.ints('perm') ?? shape?.map((_, i) => shape.length - 1 - i);
  return [...movedAxes(shape, c.outputShape(), c.inputCount, (axis) => perm?.indexOf(axis)), linear(c, 0)];
};

/** Attributes before opset 13, an input since. */
const axesOf: (...args: Parameters<ShardingRule>) => readonly number[] | undefined = (c) => c.node.ints('axes') ?? (c.has(1) ? c.numbers(1) : undefined);

const squeeze: ShardingRule = (c) => {
  const shape = c.shape(0);
  const axes = axesOf(c)?.map((axis) => at(axis, shape?.length ?? 0));
  if (!shape || !axes) return [linear(c, 0)];
  return [...movedAxes(shape, c.outputShape(), c.inputCount, (axis) => (axes.includes(axis) ? undefined : axis - axes.filter((gone) => gone < axis).length)), linear(c, 0)];
};

const unsqueeze: ShardingRule = (c) => {
  const [shape, out, axes] = [c.shape(0), c.outputShape(), axesOf(c)];
  if (!shape || !out || !axes) return [linear(c, 0)];
  const added = new Set(axes.map((axis) => at(axis, out.length)));
  const kept = out.map((_, axis) => axis).filter((axis) => !added.has(axis));
  return [...movedAxes(shape, out, c.inputCount, (axis) => kept[axis]), linear(c, 0)];
};

const expand: ShardingRule = (c) => {
  const [shape, out] = [c.shape(0), c.outputShape()];
  if (!shape || !out) return [];
  return shape.flatMap((size, axis) => {
    const target = axis + out.length - shape.length;
    const place = out[target] === size ? slot(shape, axis) : undefined;
    const asked = c.numbers(1);
    return way(places(c.inputCount, { 0: place }), [place && { axis: target, size: place.size }], {
      local: (node) => node.copy({ inputs: [node.inputs[0]!, targetOf(node, { axis: target, size: place!.size, asked, rank: out.length })] }),
    });
  });
};

const split: ShardingRule = (c) => {
  const shape = c.shape(0);
  if (!shape) return [];
  const axis = at(c.node.int('axis', 0), shape.length);
  const whole = slot(shape, axis);
  const kept = keptAxes(c, [axis]);
  const sizes = Array.from({ length: c.outputCount }, (_, i) => c.outputShape(i)?.[axis]);
  const all: Way = { inputs: places(c.inputCount, { 0: 'partial' }) as Way['inputs'], outputs: sizes.map(() => 'partial') };
  if (!whole || !sizes.every((size): size is number => typeof size === 'number' && size > 0)) return [...kept, all];
  let offset = 0;
  const parts = sizes.map((size): Slot => ({ axis, size, offsets: [(offset += size) - size], span: size }));
  const cut = way(places(c.inputCount, { 0: whole }), parts, {
    borders: parts.map(({ offsets }) => offsets![0]!),
    local: (node) => {
      const local = sizes.map((size) => node.of(size));
      if (c.opset < 13) return node.copy({ attributes: { split: local } });
      return node.copy({ inputs: [node.inputs[0]!, node.build.constant('int64', local)], attributes: { num_outputs: undefined } });
    },
  });
  return [...cut, ...kept, all];
};

const concat: ShardingRule = (c) => {
  const out = c.outputShape();
  if (!out) return [];
  const axis = at(c.node.int('axis', 0), out.length);
  const count = c.inputCount;
  const kept = out.flatMap((_, other) => (other === axis ? [] : way(Array.from({ length: count }, (_, i) => slot(c.shape(i), other)), [slot(out, other)])));
  const sizes = Array.from({ length: count }, (_, i) => c.shape(i)?.[axis]);
  const sum = linear(c, ...sizes.keys());
  if (!sizes.every((size): size is number => typeof size === 'number' && size > 0)) return [...kept, sum];
  let offset = 0;
  const parts = sizes.map((size): Slot => ({ axis, size, offsets: [(offset += size) - size], span: size }));
  return [...kept, ...way(parts, [slot(out, axis)], { size: offset, borders: parts.map(({ offsets }) => offsets![0]!) }), sum];
};

const slice: ShardingRule = (c) => {
  const [shape, out] = [c.shape(0), c.outputShape()];
  const [starts, ends] = [c.numbers(1), c.numbers(2)];
  const axes = c.has(3) ? c.numbers(3) : starts?.map((_, i) => i);
  if (!shape || !out || !axes || c.opset < 10) return [];
  const cut = axes.map((axis) => at(axis, shape.length));
  const kept = keptAxes(c, cut);
  const steps = c.has(4) ? c.numbers(4) : axes.map(() => 1);
  const [axis] = cut;
  const whole = axis === undefined ? undefined : slot(shape, axis);
  if (cut.length !== 1 || !whole || !starts || !ends || steps?.[0] !== 1) return [...kept, linear(c, 0)];
  const clamp = (bound: number): number => Math.min(whole.size, Math.max(0, bound < 0 ? bound + whole.size : bound));
  const [from, to] = [clamp(starts[0]!), clamp(ends[0]!)];
  const part: Slot = { axis: axis!, size: to - from, offsets: [from], span: to - from };
  const local = (node: LocalNode): readonly Value[] => {
    const [x, , , ...rest] = node.inputs;
    return node.copy({ inputs: [x!, node.build.constant('int64', [node.of(from)]), node.build.constant('int64', [node.of(to)]), rest[0] ?? node.build.constant('int64', [axis!])] });
  };
  return [...kept, ...(to - from > 1 ? way(places(c.inputCount, { 0: whole }), [part], { local }) : []), linear(c, 0)];
};

/**
 * Rows of a table that is cut by rows: every shard looks up what it has and gives zeros for the rest. An index that is outside of the
 * whole table is outside of every part.
 */
export function lookUp(size: number, axis: number, rank: number): (node: LocalNode) => readonly Value[] {
  return (node) => {
    const { build } = node;
    const [first, count] = [node.before(size), node.of(size)];
    const number = (value: number): Value => build.constant('int64', value);
    const given = build.op('Cast', [node.inputs[1]], { to: 7 });
    const index = build.op('Where', [build.op('Less', [given, number(0)]), build.op('Add', [given, number(size)]), given]);
    const inside = (value: Value, end: number): Value => build.op('And', [build.op('GreaterOrEqual', [value, number(0)]), build.op('Less', [value, number(end)])]);
    const own = build.op('Sub', [index, number(first)]);
    const here = inside(own, count);
    const elsewhere = build.op('Where', [inside(index, size), number(0), number(size)]);
    const [rows] = node.copy({ inputs: [node.inputs[0]!, build.op('Where', [here, own, elsewhere]), ...node.inputs.slice(2)] });
    const trailing = Array.from({ length: rank - 1 - axis }, (_, i) => -1 - i);
    const mask = trailing.length > 0 ? build.op('Unsqueeze', [here, build.constant('int64', trailing)]) : here;
    return [build.op('Where', [mask, rows, build.op('CastLike', [build.constant('float32', 0), rows])])];
  };
}

const gather: ShardingRule = (c) => {
  const [shape, indices, out] = [c.shape(0), c.shape(1), c.outputShape()];
  if (!shape || !indices || !out) return [];
  const axis = at(c.node.int('axis', 0), shape.length);
  const kept = movedAxes(shape, out, c.inputCount, (other) => (other === axis ? undefined : other < axis ? other : other - 1 + indices.length));
  const whole = slot(shape, axis);
  const table = whole && c.constant(0) && c.opset >= 15 && isFloat(c.dtype(0)) ? way([whole, null], ['partial'], { weight: 0, local: lookUp(whole.size, axis, shape.length) }) : [];
  // a table may be cut by columns too: what is looked up is then as wide as the shard's part
  const columns = c.constant(0) ? kept.map((found) => ({ ...found, weight: 0 })) : kept;
  return [...table, ...columns, linear(c, 0)];
};

export const isFloat = (dtype: string | undefined): boolean => dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';

/** (…, k) indices pick from the first k axes; the others stay. */
const gatherND: ShardingRule = (c) => {
  const [shape, indices, out] = [c.shape(0), c.shape(1), c.outputShape()];
  const depth = indices?.at(-1);
  if (!shape || !indices || typeof depth !== 'number' || c.node.int('batch_dims', 0) !== 0) return [];
  return [...movedAxes(shape, out, c.inputCount, (axis) => (axis < depth ? undefined : axis - depth + indices.length - 1)), linear(c, 0)];
};

const scatterND: ShardingRule = (c) => {
  const [shape, indices, updates] = [c.shape(0), c.shape(1), c.shape(2)];
  const depth = indices?.at(-1);
  const sum = c.node.string('reduction', 'none') === 'add' ? [linear(c, 0, 2)] : [];
  if (!shape || !indices || !updates || typeof depth !== 'number') return sum;
  const kept = shape.flatMap((_, axis) => (axis < depth ? [] : way([slot(shape, axis), null, slot(updates, axis - shape.length + updates.length)], [slot(shape, axis)])));
  return [...kept, ...sum];
};

/** Sizes are those of the whole. */
const shapeOf: ShardingRule = (c) => {
  const shape = c.shape(0) ?? [];
  const from = at(c.node.int('start', 0), shape.length);
  const to = Math.min(shape.length, at(c.node.int('end', shape.length), shape.length));
  return shape.flatMap((_, axis) => {
    const place = slot(shape, axis);
    return way([place], [null], {
      local: (node) => (axis < from || axis >= to ? node.copy() : [targetOf({ ...node, inputs: [node.inputs[0]!, node.copy()[0]!] }, { axis: axis - from, size: place!.size, asked: undefined, rank: to - from, whole: true })]),
    });
  });
};

/** Axes that neither grow nor shrink. */
const sameSize: ShardingRule = (c) => {
  const [shape, out] = [c.shape(0), c.outputShape()];
  const changed = (shape ?? []).flatMap((size, axis) => (out?.[axis] === size ? [] : [axis]));
  return keptAxes(c, changed);
};

const pad: ShardingRule = (c) => {
  const pads = c.has(1) ? c.numbers(1) : c.node.ints('pads');
  const shape = c.shape(0);
  if (!pads || !shape || c.has(3)) return [];
  return keptAxes(c, shape.flatMap((_, axis) => (pads[axis] === 0 && pads[axis + shape.length] === 0 ? [] : [axis])));
};

const tile: ShardingRule = (c) => {
  const repeats = c.numbers(1);
  return repeats ? keptAxes(c, repeats.flatMap((count, axis) => (count === 1 ? [] : [axis]))) : [];
};

export const movementRules = {
  Transpose: transpose,
  Reshape: (c) => [...reshapeWays(c), linear(c, 0)],
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Flatten: (c) => [...reshapeWays(c), linear(c, 0)],
  Expand: expand,
  Split: split,
  Concat: concat,
  Slice: slice,
  Gather: gather,
  GatherND: gatherND,
  ScatterND: scatterND,
  Shape: shapeOf,
  Pad: pad,
  Tile: tile,
  Trilu: (c) => keptAxes(c, [-1, -2]),
  Resize: (c) => (c.has(3) ? [] : sameSize(c)),
} satisfies ShardingRules;
