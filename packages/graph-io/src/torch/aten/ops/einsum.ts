/** einsum: spaces and implicit outputs are PyTorch's, the rest is ONNX's. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';

/** ONNX Einsum knows explicit and implicit form, letters and an ellipsis, as PyTorch does. */
export function einsum(c: AtenContext, equation: string, operands: readonly Value[]): Value {
  const text = equation.replace(/\s+/g, '');
  if (!/^[A-Za-z.,]+(->[A-Za-z.]*)?$/.test(text)) throw c.unsupported(`the equation ${equation}`);
  // ONNX Runtime takes lower case only; there are at most 26 letters in one equation of either case.
  const letters = [...new Set(text.replace(/[^A-Za-z]/g, ''))];
  if (letters.length > 26) throw c.unsupported('more than 26 letters');
  const sorted = [...letters].sort();
  const lower = text.replace(/[A-Za-z]/g, (letter) => String.fromCharCode(97 + sorted.indexOf(letter)));
  return c.op('Einsum', c.promoted(operands), { equation: lower });
}
