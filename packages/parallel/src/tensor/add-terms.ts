/** Sums over shards, always in the order of the shards: the same bits for everyone and in every run. */
import { type DType, PenjingError, typedView } from '@penjing/core';

type Adder = (sum: Uint8Array, term: Uint8Array) => void;

/** Adds elements of the same type; both begin on an element. */
const adders: { readonly [D in DType]?: Adder } = {
  float32: (sum, term) => {
    const [a, b] = [typedView('float32', sum) as Float32Array, typedView('float32', term) as Float32Array];
    for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
  },
  float64: (sum, term) => {
    const [a, b] = [typedView('float64', sum) as Float64Array, typedView('float64', term) as Float64Array];
    for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
  },
  int32: (sum, term) => {
    const [a, b] = [typedView('int32', sum) as Int32Array, typedView('int32', term) as Int32Array];
    for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
  },
  int64: (sum, term) => {
    const [a, b] = [typedView('int64', sum) as BigInt64Array, typedView('int64', term) as BigInt64Array];
    for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
  },
};

/** `sum` += `term`, element by element. Throws `E_DTYPE` for types whose sums are not made between shards. */
export function addTerm(dtype: DType, sum: Uint8Array, term: Uint8Array): void {
  const add = adders[dtype];
  if (!add) throw new PenjingError('E_DTYPE', `sums of ${dtype} are not made between shards`);
  add(sum, term);
}
