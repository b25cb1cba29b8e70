/** Palettes: the place of each weight in a codebook, packed. */
import { typedView } from '../dtype.js';
import { floatsOf } from './evaluate-cast.js';
import type { AssignExpr } from './tensor-expr.js';
import type { Rule } from './window.js';

export const assign: Rule<AssignExpr> = ({ input, codebook, shift, bits }, { r0, r1, c0, c1 }, context) => {
  const perByte = 8 / bits;
  const [groups, entries] = codebook.shape as [number, number];
  const rowsPerGroup = input.shape[0]! / groups;
  const first = Math.floor(r0 / rowsPerGroup);
  const books = typedView('float32', context.window(codebook, { r0: first, r1: Math.ceil(r1 / rowsPerGroup), c0: 0, c1: entries })) as Float32Array;
  const weights = floatsOf(input.dtype, context.window(input, { r0, r1, c0: c0 * perByte, c1: c1 * perByte }), context);
  const cols = (c1 - c0) * perByte;
  const nearest = typedView('float32', context.alloc(weights.length * 4)) as Float32Array;
  const out = context.alloc((r1 - r0) * (c1 - c0));
  out.fill(0);
  const mask = (1 << bits) - 1;
  for (let r = r0; r < r1; r++) {
    const at = (Math.floor(r / rowsPerGroup) - first) * entries;
    const book = books.subarray(at, at + entries);
    const limits = middles(book);
    for (let c = 0; c < cols; c++) {
      const i = (r - r0) * cols + c;
      const place = placeOf(weights[i]!, limits);
      nearest[i] = book[place]!;
      out[Math.floor(i / perByte)]! |= ((place >> shift) & mask) << ((i % perByte) * bits);
    }
  }
  if (shift === 0) context.lost(context.kernels.errorStats(weights, nearest));
  return out;
};

/** Halfway between neighbours, in float64: no float32 weight lies on the wrong side. */
function middles(book: Float32Array): Float64Array {
  return Float64Array.from({ length: book.length - 1 }, (_, i) => (book[i]! + book[i + 1]!) / 2);
}

/** How many limits lie below; NaN is above none. */
function placeOf(weight: number, limits: Float64Array): number {
  let low = 0;
  let high = limits.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (weight > limits[middle]!) low = middle + 1;
    else high = middle;
  }
  return low;
}
