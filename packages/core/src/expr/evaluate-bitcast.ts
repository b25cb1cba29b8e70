/** The bits of elements as elements of another width. */
import { dtypes } from '../dtype.js';
import { unpackInto } from './evaluate-leaves.js';
import type { BitcastExpr } from './tensor-expr.js';
import { cropColumns, elementBytes, isSubByte, type Rule } from './window.js';

/** Takes the input elements that the window touches, whole, and crops what they have too much. */
export const bitcast: Rule<BitcastExpr> = (expr, { r0, r1, c0, c1 }, context) => {
  const { input, dtype } = expr;
  const [from, to] = [dtypes[input.dtype].bits, dtypes[dtype].bits];
  // columns of the input, and the bits before the first of them
  const i0 = Math.floor((c0 * to) / Math.max(from, to)) * Math.max(1, to / from);
  const i1 = Math.ceil((c1 * to) / Math.max(from, to)) * Math.max(1, to / from);
  const elements = context.window(input, { r0, r1, c0: i0, c1: i1 });
  const rows = r1 - r0;
  const count = (rows * (i1 - i0) * from) / to;
  const width = elementBytes(dtype);
  let out = elements;
  if (isSubByte(input.dtype)) {
    out = context.alloc(count * width);
    context.kernels.pack(from as 2 | 4, elements, out);
  } else if (isSubByte(dtype)) {
    out = context.alloc(count);
    unpackInto(dtype, elements, 0, out, context);
  }
  return cropColumns(out, rows, rows === 0 ? 0 : (count / rows) * width, (c0 - (i0 * from) / to) * width, (c1 - c0) * width, context);
};
