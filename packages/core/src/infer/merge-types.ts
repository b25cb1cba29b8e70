/** Two descriptions of one value brought together. */
import { type ValueType } from '../graph/value-type.js';
import { compatible, mergeDims } from './dims.js';

/** The more exact type; `a` wins where both say the same in other words. Undefined when they contradict each other. */
export function mergeTypes(a: ValueType | undefined, b: ValueType | undefined): ValueType | undefined {
  if (!a || !b) return a ?? b;
  // A type without content says nothing; one that this version cannot read contradicts nothing.
  if (a.kind === 'opaque') return a.bytes.length === 0 ? b : a;
  if (b.kind === 'opaque') return a;
  if (a.kind !== b.kind) return undefined;
  if (a.kind === 'tensor' || a.kind === 'sparse') {
    const other = b as typeof a;
    if (a.dtype !== undefined && other.dtype !== undefined && a.dtype !== other.dtype) return undefined;
    const dtype = a.dtype ?? other.dtype;
    const shape = mergeShapes(a.shape, other.shape);
    if (shape === null) return undefined;
    return { ...a, ...(dtype === undefined ? {} : { dtype }), ...(shape === undefined ? {} : { shape }) };
  }
  if (a.kind === 'sequence' || a.kind === 'optional') {
    const of = (b as typeof a).of;
    const inner = mergeTypes(a.of, of);
    return inner === undefined && a.of && of ? undefined : { ...a, of: inner };
  }
  return a;
}

type Dims = NonNullable<Extract<ValueType, { kind: 'tensor' | 'sparse' }>['shape']>;

/** null when the shapes contradict each other. */
function mergeShapes(a: Dims | undefined, b: Dims | undefined): Dims | undefined | null {
  if (!a || !b) return a ?? b;
  if (a.length !== b.length || a.some((dim, i) => !compatible(dim, b[i]!))) return null;
  return a.map((dim, i) => mergeDims(dim, b[i]!));
}
