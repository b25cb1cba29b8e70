/** Shape rules of matrix operators. */
import type { DType } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { broadcastAll, broadcastDims, compatible } from './dims.js';
import { type Dims, type InferContext, type InferRule, tensor } from './rule.js';

/** NumPy matmul: vectors are promoted, leading dimensions broadcast. */
export function matmulShape(c: InferContext, a: Dims | undefined, b: Dims | undefined): Dims | undefined {
  if (!a || !b || a.length === 0 || b.length === 0) return undefined;
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  if (!compatible(left.at(-1)!, right.at(-2)!)) c.gap(`inner sizes ${left.at(-1)} and ${right.at(-2)} differ`);
  const batch = broadcastAll([left.slice(0, -2), right.slice(0, -2)]);
  if (!batch) return undefined;
  return [...batch, ...(a.length === 1 ? [] : [left.at(-2)!]), ...(b.length === 1 ? [] : [right.at(-1)!])];
}

/** A matrix product of two inputs into a fixed dtype, or that of the first. */
export const matmul = (dtype?: DType, b = 1): InferRule => (c) => [tensor(dtype ?? c.dtype(0), matmulShape(c, c.shape(0), c.shape(b)))];

/** Transposes by attribute; shared by Gemm and its relatives. */
export function gemmShape(c: InferContext, b = 1): Dims {
  const [left, right] = [c.shape(0), c.shape(b)];
  const [transA, transB] = [c.node.int('transA', 0), c.node.int('transB', 0)];
  return [left?.[transA ? 1 : 0] ?? null, right?.[transB ? 0 : 1] ?? null];
}

/** Output shape of an einsum equation; undefined when the equation or a rank is odd. */
export function einsumShape(equation: string, shapes: readonly (Dims | undefined)[]): Dims | undefined {
  const text = equation.replaceAll(' ', '');
  const [left = '', right] = text.split('->');
  const sizes = new Map<string, Dim>();
  let dots: Dim[] = [];
  const counts = new Map<string, number>();
  for (const [i, term] of left.split(',').entries()) {
    const shape = shapes[i];
    if (!shape) return undefined;
    const letters = term.replace('...', '');
    const extra = shape.length - letters.length;
    if (extra < 0 || (extra > 0 && !term.includes('...'))) return undefined;
    const start = term.includes('...') ? term.indexOf('...') : letters.length;
    const named = [...shape.slice(0, start), ...shape.slice(start + extra)];
    [...letters].forEach((letter, k) => {
      sizes.set(letter, sizes.has(letter) ? (broadcastDims(sizes.get(letter)!, named[k]!) ?? null) : named[k]!);
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
    });
    const merged = broadcastAll([dots, shape.slice(start, start + extra)]);
    if (!merged) return undefined;
    dots = merged;
  }
  const implicit = [...counts].filter(([, count]) => count === 1).map(([letter]) => letter).sort().join('');
  const out = right ?? (left.includes('...') ? `...${implicit}` : implicit);
  const [before = '', after = ''] = out.includes('...') ? out.split('...') : [out, ''];
  const pick = (letters: string): Dim[] => [...letters].map((letter) => sizes.get(letter) ?? null);
  return [...pick(before), ...(out.includes('...') ? dots : []), ...pick(after)];
}

export const linalgRules = {
  MatMul: matmul(),
  Gemm: (c) => [tensor(c.dtype(0), gemmShape(c))],
  Einsum: (c) => [tensor(c.dtype(0), einsumShape(c.node.string('equation', ''), Array.from({ length: c.inputCount }, (_, i) => c.shape(i))))],
  Det: (c) => [tensor(c.dtype(0), c.shape(0)?.slice(0, -2))],
} satisfies Partial<Record<OpName, InferRule>>;
