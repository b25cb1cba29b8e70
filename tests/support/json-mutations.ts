/** Changes to JSON documents for tests of hostile files: values swapped for hostile ones, for others of the document, dropped, doubled. */
import fc from 'fast-check';

export interface Mutation {
  readonly kind: 'replace' | 'graft' | 'drop' | 'double' | 'nudge';
  /** Which of all places of the document. */
  readonly at: number;
  /** Which other place, or which hostile value. */
  readonly with: number;
}

export const mutations = (maxLength: number): fc.Arbitrary<Mutation[]> =>
  fc.array(fc.record({
    kind: fc.constantFrom('replace' as const, 'replace' as const, 'graft' as const, 'drop' as const, 'double' as const, 'nudge' as const),
    at: fc.nat(1 << 20), with: fc.nat(1 << 20),
  }), { minLength: 1, maxLength });

/** Depth that overflows a stack that recurses, small enough to be written fast. */
const nested = (depth: number, wrap: (inner: unknown) => unknown): unknown => {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
};

const hostile: readonly (() => unknown)[] = [
  () => null, () => true, () => -1, () => 0, () => 1, () => 2, () => 65, () => 0.5, () => 2 ** 31, () => 2 ** 53, () => -(2 ** 63), () => 1e308, () => '', () => 's0', () => '__proto__',
  () => 'constructor', () => [], () => ({}), () => [[]], () => 'x'.repeat(100_000), () => nested(200, (inner) => [inner]), () => nested(200, (inner) => ({ as_tensors: inner })),
  () => ({ as_int: -1 }), () => ({ as_int: 2 ** 53 }), () => ({ as_int: 2 ** 40 }), () => ({ as_expr: { expr_str: 's0*s1', hint: { as_int: 4 } } }), () => ({ as_expr: { expr_str: '('.repeat(100_000) } }),
  () => ({ as_expr: { expr_str: "Symbol('s9', integer=True)" } }), () => ({ as_none: true }), () => ({ as_tensor: { name: 'x' } }), () => ({ as_ints: new Array<number>(70).fill(1) }),
  () => ({ as_ints: new Array<number>(8).fill(2 ** 31) }), () => ({ as_float: 'NaN' }), () => ({ as_bool: true }), () => ({ as_sym_int: { as_name: 'x' } }), () => 'torch.ops.aten.add.Tensor',
  () => 'torch.ops.aten.view.default', () => 'torch.ops.aten.expand.default', () => 'torch.ops.aten.full.default', () => 'torch.ops.aten.as_strided.default', () => 'torch.ops.aten.pad.default',
  () => 'torch.ops.higher_order.cond', () => '_operator.getitem', () => '_operator.floordiv', () => 'torch.ops.aten.arange.start_step', () => 'torch.ops.aten.unbind.int', () => 'torch.ops.aten.repeat.default',
];

type Place = { readonly holder: unknown[] | Record<string, unknown>; readonly key: string | number };

function placesOf(document: unknown, within: string | undefined): Place[] {
  const places: Place[] = [];
  const visit = (value: unknown, depth: number, inside: boolean): void => {
    if (typeof value !== 'object' || value === null || depth > 60) return;
    const holder = value as unknown[] | Record<string, unknown>;
    for (const key of Array.isArray(holder) ? holder.keys() : Object.keys(holder)) {
      if (inside) places.push({ holder, key });
      visit((holder as Record<string | number, unknown>)[key], depth + 1, inside || key === within);
    }
  };
  visit(document, 0, within === undefined);
  return places;
}

/** A changed copy. `within`: changed only below keys of this name. */
export function mutated(document: unknown, changes: readonly Mutation[], within?: string): unknown {
  const copy: unknown = structuredClone(document);
  for (const { kind, at, with: other } of changes) {
    const places = placesOf(copy, within);
    const place = places[at % places.length];
    if (!place) break;
    const holder = place.holder as Record<string | number, unknown>;
    const value = holder[place.key];
    const source = places[other % places.length]!;
    if (kind === 'graft') holder[place.key] = structuredClone((source.holder as Record<string | number, unknown>)[source.key]);
    else if (kind === 'drop') {
      if (Array.isArray(place.holder)) place.holder.splice(place.key as number, 1);
      else Reflect.deleteProperty(holder, place.key);
    } else if (kind === 'double' && Array.isArray(place.holder)) place.holder.splice(place.key as number, 0, structuredClone(value));
    else if (kind === 'nudge' && typeof value === 'number') holder[place.key] = value + ((other % 5) - 2);
    else holder[place.key] = hostile[other % hostile.length]!();
  }
  return copy;
}
