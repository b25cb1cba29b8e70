/** Dimensions of operators that only move elements. */
import type { Node, Value } from '@penjing/core';
import { type CoupleContext, type DimensionRule, type EditContext, fromFront, range, uniteAxes } from './dimension-rule.js';
import { shapeOf } from './dimensions.js';

/**
 * Axes that merge or split, from the last one on: a unit is an index of the outermost part that both sides have, heads before the
 * numbers of a head, channels before the pixels of a channel. What lies inside stays whole. Sizes that are not known (the batch, the
 * sequence) stand for each other.
 */
function coupleReshape(node: Node, dims: CoupleContext['dims'], from: Value, to: Value): void {
  const [a, b] = [shapeOf(from), shapeOf(to)];
  let [i, j] = [a.length - 1, b.length - 1];
  while (i >= 0 && j >= 0) {
    const [x, y] = [a[i], b[j]];
    if (typeof x === 'number' && typeof y === 'number') {
      const [lastA, lastB] = [i, j];
      let [p, q] = [x, y];
      i--;
      j--;
      while (p !== q) {
        const next = p < q ? a[i--] : b[j--];
        if (typeof next !== 'number') return lockRest(node, dims, from, to, lastA, lastB);
        if (p < q) p *= next;
        else q *= next;
      }
      coupleChunk(node, dims, { value: from, axes: between(i + 1, lastA) }, { value: to, axes: between(j + 1, lastB) });
    } else if (typeof x === 'number' || typeof y === 'number') {
      return lockRest(node, dims, from, to, i, j);
    } else {
      i--;
      j--;
      const [p, q] = [a[i], b[j]];
      if (typeof p !== 'number' || typeof q !== 'number' || p === q) continue;
      // [heads, open] becomes [groups, open]: what a group has of heads goes into what is open
      coupleChunk(node, dims, { value: from, axes: [i--] }, { value: to, axes: [j--] });
    }
  }
  lockRest(node, dims, from, to, i, j);
}

function between(first: number, last: number): number[] {
  return range(last - first + 1).map((k) => first + k);
}

interface Chunk {
  readonly value: Value;
  readonly axes: readonly number[];
}

/** Their outermost axes go together, in runs. */
function coupleChunk(node: Node, dims: CoupleContext['dims'], a: Chunk, b: Chunk): void {
  const [x, y] = [a, b].map(({ value, axes }) => axes.find((axis) => dims.size(value, axis) !== undefined));
  for (const [{ value, axes }, outer] of [[a, x], [b, y]] as const) {
    for (const axis of axes) if (axis !== outer) dims.lock(value, axis, `${node.describe()} merges it`);
  }
  if (x === undefined || y === undefined) return;
  const [p, q] = [dims.size(a.value, x)!, dims.size(b.value, y)!];
  const units = p % q === 0 ? q : q % p === 0 ? p : undefined;
  if (units !== undefined) dims.unite({ value: a.value, axis: x, run: p / units }, { value: b.value, axis: y, run: q / units }, node);
  else for (const [value, axis] of [[a.value, x], [b.value, y]] as const) dims.lock(value, axis, `${node.describe()} makes ${q} of ${p}`);
}

/** Axes up to these. */
function lockRest(node: Node, dims: CoupleContext['dims'], from: Value, to: Value, i: number, j: number): void {
  const reason = `the sizes that ${node.describe()} relates are not known`;
  for (let axis = 0; axis <= i; axis++) dims.lock(from, axis, reason);
  for (let axis = 0; axis <= j; axis++) dims.lock(to, axis, reason);
}

/** Sizes in a constant shape follow their dimension. */
function editShape(node: Node, { ints, kept, constant }: EditContext): void {
  const shape = ints(node.input(1));
  const result = node.output();
  if (!shape) return;
  const changed = shape.map((size, axis) => (size > 1 ? (kept(result, axis)?.length ?? size) : size));
  if (changed.some((size, axis) => size !== shape[axis])) node.setInput(1, constant(changed));
}

/** Reshapes whose target is computed keep sizes that nobody can edit. */
const reshape: DimensionRule = {
  couple(node, { dims, ints }) {
    const from = node.input(0);
    if (!from) return;
    if (ints(node.input(1))) coupleReshape(node, dims, from, node.output());
    else {
      dims.lockAll(from, `the shape that ${node.describe()} gives is computed`);
      dims.lockAll(node.output(), `the shape that ${node.describe()} gives is computed`);
    }
  },
  edit: editShape,
};

const expand: DimensionRule = {
  couple(node, { dims, ints }) {
    const from = node.input(0);
    const to = node.output();
    if (!from) return;
    if (!ints(node.input(1))) dims.lockAll(from, `the shape that ${node.describe()} gives is computed`);
    uniteAxes(node, dims, from, to, range(dims.rank(from)).map((k) => [-1 - k, -1 - k] as const));
  },
  edit: editShape,
};

const transpose: DimensionRule = {
  couple(node, { dims }) {
    const from = node.input(0);
    if (!from) return;
    const rank = dims.rank(from);
    const perm = node.ints('perm') ?? range(rank).reverse();
    uniteAxes(node, dims, from, node.output(), perm.map((axis, at) => [axis, at] as const));
  },
};

const flatten: DimensionRule = {
  couple(node, { dims }) {
    const from = node.input(0);
    if (from) coupleReshape(node, dims, from, node.output());
  },
};

/** Squeeze and Unsqueeze: the axes that are not 1 keep their order. */
const squeeze: DimensionRule = {
  couple(node, { dims }) {
    const from = node.input(0);
    if (!from) return;
    const real = (value: Value): number[] => range(dims.rank(value)).filter((axis) => shapeOf(value)[axis] !== 1);
    const [a, b] = [real(from), real(node.output())];
    if (a.length === b.length) uniteAxes(node, dims, from, node.output(), a.map((axis, k) => [axis, b[k]!] as const));
    else for (const value of [from, node.output()]) dims.lockAll(value, `the sizes that ${node.describe()} relates are not known`);
  },
};

const concat: DimensionRule = {
  couple(node, { dims }) {
    const to = node.output();
    const rank = dims.rank(to);
    const along = fromFront(node.int('axis', 0), rank);
    let at: number | undefined = 0;
    for (const value of node.inputs) {
      if (!value) continue;
      for (let axis = 0; axis < rank; axis++) {
        if (axis !== along) dims.unite({ value, axis }, { value: to, axis }, node);
      }
      const size = shapeOf(value)[along];
      if (at === undefined || typeof size !== 'number') {
        at = undefined;
        dims.lock(value, along, `the sizes that ${node.describe()} joins are not known`);
        continue;
      }
      dims.unite({ value, axis: along }, { value: to, axis: along, at, length: size }, node);
      at += size;
    }
  },
};

const split: DimensionRule = {
  couple(node, { dims }) {
    const from = node.input(0);
    if (!from) return;
    const rank = dims.rank(from);
    const along = fromFront(node.int('axis', 0), rank);
    let at = 0;
    for (const value of node.outputs) {
      for (let axis = 0; axis < rank; axis++) if (axis !== along) dims.unite({ value: from, axis }, { value, axis }, node);
      const size = shapeOf(value)[along];
      if (typeof size !== 'number') {
        dims.lock(from, along, `the sizes that ${node.describe()} makes are not known`);
        return;
      }
      dims.unite({ value, axis: along }, { value: from, axis: along, at, length: size }, node);
      at += size;
    }
  },
  edit(node, { kept, sizeBefore, constant }) {
    const along = fromFront(node.int('axis', 0), shapeOf(node.output()).length);
    const sizes = node.outputs.map((value) => kept(value, along)?.length ?? sizeBefore(value, along) ?? 1);
    if (node.outputs.every((value) => kept(value, along) === undefined)) return;
    if (node.attributes.has('split')) node.attributes.set('split', { kind: 'ints', value: sizes.map(BigInt) });
    else {
      node.attributes.delete('num_outputs');
      node.setInput(1, constant(sizes));
    }
  },
};

/** Whole axes pass; those that are cut stay as they are. */
const slice: DimensionRule = {
  couple(node, { dims }) {
    const from = node.input(0);
    const to = node.output();
    if (!from) return;
    for (let axis = 0; axis < dims.rank(from); axis++) {
      if (dims.size(from, axis) === dims.size(to, axis)) dims.unite({ value: from, axis }, { value: to, axis }, node);
      else for (const value of [from, to]) dims.lock(value, axis, `${node.describe()} cuts it`);
    }
  },
};

const gather: DimensionRule = {
  couple(node, { dims }) {
    const [table, indices] = node.inputs;
    if (!table || !indices) return;
    const rank = dims.rank(table);
    const along = fromFront(node.int('axis', 0), rank);
    dims.lock(table, along, `${node.describe()} looks it up`);
    const places = dims.rank(indices);
    uniteAxes(node, dims, indices, node.output(), range(places).map((k) => [k, along + k] as const));
    for (let axis = 0; axis < rank; axis++) {
      if (axis !== along) dims.unite({ value: table, axis }, { value: node.output(), axis: axis < along ? axis : axis + places - 1 }, node);
    }
  },
};

/** Whole slices are looked up: the axes behind those that are indexed pass. */
const gatherNd: DimensionRule = {
  couple(node, { dims }) {
    const [table, indices] = node.inputs;
    if (!table || !indices) return;
    const result = node.output();
    const batches = node.int('batch_dims', 0);
    const indexed = shapeOf(indices).at(-1);
    if (typeof indexed !== 'number') {
      for (const value of [table, result]) dims.lockAll(value, `how many axes ${node.describe()} looks up is not known`);
      return;
    }
    dims.lock(indices, -1, `${node.describe()} looks up by it`);
    const places = dims.rank(indices) - 1;
    uniteAxes(node, dims, indices, result, range(places).map((k) => [k, k] as const));
    for (let axis = 0; axis < dims.rank(table); axis++) {
      if (axis < batches) dims.unite({ value: table, axis }, { value: result, axis }, node);
      else if (axis < batches + indexed) dims.lock(table, axis, `${node.describe()} looks it up`);
      else dims.unite({ value: table, axis }, { value: result, axis: places + axis - batches - indexed }, node);
    }
  },
};

export const movementRules: Readonly<Record<string, DimensionRule>> = {
  Reshape: reshape, Expand: expand, Transpose: transpose, Flatten: flatten, Squeeze: squeeze, Unsqueeze: squeeze, Concat: concat, Split: split, Slice: slice, Gather: gather, GatherND: gatherNd,
};
