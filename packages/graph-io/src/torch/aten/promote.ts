/** Type promotion of PyTorch: the category (bool < integer < float < complex) decides, and tensors with axes outrank scalars. */
import { type DType, dtypes, PenjingError } from '@penjing/core';

/** What an operand brings: a tensor with axes, one without, or a plain number. */
export interface PromotionOperand {
  readonly dtype: DType;
  readonly weight: 'tensor' | 'zeroDim' | 'number';
}

const CATEGORIES = { bool: 0, uint: 1, int: 1, float: 2, complex: 3, string: -1 } as const;

const categoryOf = (dtype: DType): number => CATEGORIES[dtypes[dtype].kind];

/** `torch.promote_types`. Throws `E_DTYPE` for pairs that PyTorch refuses too. */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const [x, y] = [dtypes[a], dtypes[b]];
  const [low, high] = categoryOf(a) <= categoryOf(b) ? [a, b] : [b, a];
  if (categoryOf(low) !== categoryOf(high)) return high;
  if (x.kind === 'float') {
    // float16 and bfloat16 hold different numbers; only float32 holds both.
    if (x.bits === y.bits) return 'float32';
    return x.bits > y.bits ? a : b;
  }
  if (x.kind === y.kind) return x.bits > y.bits ? a : b;
  const [signed, unsigned] = x.kind === 'int' ? [a, b] : [b, a];
  if (dtypes[signed].bits > dtypes[unsigned].bits) return signed;
  const wider = ({ 8: 'int16', 16: 'int32', 32: 'int64' } as Readonly<Record<number, DType>>)[dtypes[unsigned].bits];
  if (!wider) throw new PenjingError('E_DTYPE', `${a} and ${b} have no common type`);
  return wider;
}

/** `torch.result_type` of several operands. */
export function resultType(operands: readonly PromotionOperand[]): DType {
  let result: DType | undefined;
  for (const weight of ['tensor', 'zeroDim', 'number'] as const) {
    const own = operands.filter((operand) => operand.weight === weight).map(({ dtype }) => dtype);
    if (own.length === 0) continue;
    const joined = own.reduce(promoteTypes);
    // A lighter operand counts only when it is of a higher category.
    if (result === undefined) result = joined;
    else if (categoryOf(joined) > categoryOf(result)) result = promoteTypes(result, joined);
  }
  if (result === undefined) throw new PenjingError('E_DTYPE', 'nothing to promote');
  return result;
}

/** Integers and bool become float32 where an operator gives fractions. */
export function toFloat(dtype: DType): DType {
  return categoryOf(dtype) < 2 ? 'float32' : dtype;
}

export function isFloat(dtype: DType): boolean {
  return categoryOf(dtype) >= 2;
}
