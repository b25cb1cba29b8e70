/** Which axes of the two sides of a Reshape are the same dimension. */
import type { Value } from '@penjing/core';
import { type Dims, type LocalNode, places, type ShardingContext, type Slot, slot, way, type Way } from '../rule.js';

export function reshapeWays(c: ShardingContext): Way[] {
  const [shape, out] = [c.shape(0), c.outputShape()];
  if (!shape || !out) return [];
  const asked = c.numbers(1);
  return pairs(shape, out).flatMap(([from, to]) => {
    const [whole, found] = [slot(shape, from), slot(out, to)];
    if (!whole || !found) return [];
    // queries, keys and values in one: what is shared out lies inside of each
    const target = c.takenApart(to) ? inside(out, to, whole) : found;
    if (!target) return [];
    const units = target.offsets ? target.size : common(whole.size, target.size);
    return way(places(c.inputCount, { 0: whole }), [target], {
      units,
      ...(c.node.opType === 'Reshape' && {
        local: (node) => node.copy({ inputs: [node.inputs[0]!, targetOf(node, { axis: target.axis, size: target.size, asked, rank: out.length, zero: from === target.axis && c.node.int('allowzero', 0) === 0 })] }),
      }),
    });
  });
}

/** (…, S) to (…, r, S/r or its outermost factor, …): the axis after the one that is taken apart. */
function inside(out: Dims, at: number, whole: Slot): Slot | undefined {
  const [count, next] = [out[at], slot(out, at + 1)];
  if (typeof count !== 'number' || !next || whole.size % count !== 0) return undefined;
  const span = whole.size / count;
  return span % next.size === 0 ? { ...next, span, offsets: Array.from({ length: count }, (_, i) => i * span) } : undefined;
}

/** Axes of both sides that are cut at the same places when they are cut into equal parts: equal ones, and those that begin together. */
function pairs(shape: Dims, out: Dims): [number, number][] {
  const found: [number, number][] = [];
  const add = (from: number, to: number): void => {
    const [a, b] = [shape[from], out[to]];
    if (typeof a !== 'number' || typeof b !== 'number' || a < 2 || b < 2 || common(a, b) < 2) return;
    if (!found.some(([x, y]) => x === from || y === to)) found.push([from, to]);
  };
  let same = 0;
  while (same < Math.min(shape.length, out.length) && known(shape[same]!) && shape[same] === out[same]) add(same, same++);
  if (same < Math.min(shape.length, out.length)) add(same, same);
  // from the end: axes with as many elements from their beginning on
  for (let from = shape.length - 1, inner = 1; from >= same; from--) {
    const size = shape[from];
    if (typeof size !== 'number') break;
    inner *= size;
    for (let to = out.length - 1, other = 1; to >= same; to--) {
      const dim = out[to];
      if (typeof dim !== 'number') break;
      other *= dim;
      if (other === inner && size > 1 && dim > 1) add(from, to);
    }
  }
  return found;
}

const known = (dim: Dims[number]): boolean => dim !== null;

export function common(a: number, b: number): number {
  return b === 0 ? a : common(b, a % b);
}

interface Target {
  readonly axis: number;
  /** Of the whole. */
  readonly size: number;
  /** Elements of the shape that the node is given, when they are constant. */
  readonly asked: readonly number[] | undefined;
  readonly rank: number;
  /** A 0 there already stands for the size of the shard. */
  readonly zero?: boolean;
  /** The other way round: the size of the shard becomes that of the whole. */
  readonly whole?: boolean;
}

/** Input 1, a shape, with the size of one axis changed to that of the shard. */
export function targetOf(node: Pick<LocalNode, 'inputs' | 'build' | 'of'>, { axis, size, asked, rank, zero = false, whole = false }: Target): Value {
  const { build } = node;
  const local = whole ? size : node.of(size);
  if (asked) return build.constant('int64', asked.map((dim, i) => (i === axis && !(dim === 0 && zero) && dim !== -1 ? local : dim)));
  const here = build.constant('bool', Array.from({ length: rank }, (_, i) => (i === axis ? 1 : 0)));
  return build.op('Where', [here, build.constant('int64', [local]), node.inputs[1]]);
}
