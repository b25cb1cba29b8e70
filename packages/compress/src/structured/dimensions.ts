/** Which indices of which dimensions of a graph go together: to remove one is to remove all. */
import { allGraphs, type Model, type Node, PenjingError, type Value } from '@penjing/core';

/** What the units of a dimension are. */
export type UnitKind = 'heads' | 'channels' | 'ffn' | 'hidden';

/** One unit: everything that is removed with it. */
export interface Unit {
  /** Indices by value and axis. */
  readonly parts: readonly { readonly value: Value; readonly axis: number; readonly indices: readonly number[] }[];
}

/** Units of one dimension, which are removed for the same reason: the filters of a convolution, the heads of an attention. */
export interface UnitGroup {
  readonly kind: UnitKind;
  /** Name of the first weight that holds them. */
  readonly name: string;
  readonly units: readonly Unit[];
}

/** A dimension that cannot be changed, and why. */
export interface LockedGroup {
  readonly name: string;
  readonly reason: string;
}

/** Indices [at, at + length) of an axis, in runs of `run` that stay together. */
export interface Span {
  readonly value: Value;
  readonly axis: number;
  readonly at?: number;
  readonly length?: number;
  readonly run?: number;
}

/** Atoms beyond this many would not fit: 2³¹ bytes of links. */
const MOST_ATOMS = 2 ** 28;

/** Coupled indices, as a union of sets of (value, axis, index): rules of operators unite and lock them. */
export class Dimensions {
  readonly #offsets = new Map<Value, number[]>();
  readonly #axes: { value: Value; axis: number; start: number; size: number }[] = [];
  #parents: Int32Array;
  readonly #locks = new Map<number, string>();
  /** Of locks that hold for all kinds but hidden features. */
  readonly #loose = new Map<number, string>();
  readonly #kinds = new Map<number, UnitKind>();

  /** Every dimension of a known size, of every value. */
  constructor(model: Model) {
    let count = 0;
    for (const graph of allGraphs(model.graph)) {
      const values = [...graph.inputs, ...graph.initializers.values(), ...[...graph.nodes()].flatMap((node) => [...node.outputs])];
      for (const value of values) {
        if (this.#offsets.has(value)) continue;
        const offsets = shapeOf(value).map((size, axis) => {
          if (typeof size !== 'number' || size < 2) return -1;
          this.#axes.push({ value, axis, start: count, size });
          count += size;
          if (count > MOST_ATOMS) throw new PenjingError('E_LIMIT', `the dimensions of this model have more than ${MOST_ATOMS} indices: too many to follow`);
          return count - size;
        });
        this.#offsets.set(value, offsets);
      }
    }
    this.#parents = Int32Array.from({ length: count }, (_, i) => i);
  }

  /** The size of a dimension; undefined when it is not known, or 1. */
  size(value: Value | undefined, axis: number): number | undefined {
    const size = value && shapeOf(value).at(axis);
    return typeof size === 'number' && size > 1 ? size : undefined;
  }

  rank(value: Value): number {
    return shapeOf(value).length;
  }

  /** Run by run; nothing when one of the two is not known. Different numbers of runs are locked. */
  unite(a: Span, b: Span, node: Node): void {
    const [x, y] = [this.#span(a), this.#span(b)];
    if (!x || !y) return;
    const runs = x.length / x.run;
    if (!Number.isInteger(runs) || runs !== y.length / y.run) {
      this.lock(a.value, a.axis, `${node.describe()} relates ${x.length} to ${y.length}`);
      this.lock(b.value, b.axis, `${node.describe()} relates ${x.length} to ${y.length}`);
      return;
    }
    for (let run = 0; run < runs; run++) {
      const first = x.start + run * x.run;
      for (let i = 1; i < x.run; i++) this.#join(first, first + i);
      for (let i = 0; i < y.run; i++) this.#join(first, y.start + run * y.run + i);
    }
  }

  lock(value: Value | undefined, axis: number, reason: string): void {
    this.#lockSpan(value, axis, reason, this.#locks);
  }

  /** Hidden features may go all the same: a student that begins without them computes something near. */
  lockUnlessHidden(value: Value | undefined, axis: number, reason: string): void {
    this.#lockSpan(value, axis, reason, this.#loose);
  }

  lockAll(value: Value | undefined, reason: string): void {
    if (value) for (let axis = 0; axis < this.rank(value); axis++) this.lock(value, axis, reason);
  }

  /** Heads are heads whatever else touches them, then hidden features, and channels before features. */
  mark(value: Value | undefined, axis: number, kind: UnitKind): void {
    const span = value && this.#span({ value, axis });
    if (!span) return;
    for (let i = 0; i < span.length; i++) {
      const root = this.#root(span.start + i);
      this.#kinds.set(root, stronger(this.#kinds.get(root), kind));
    }
  }

  /** What can be removed, and what cannot, dimension by dimension. */
  groups(): { groups: UnitGroup[]; locked: LockedGroup[] } {
    const members = new Map<number, { value: Value; axis: number; indices: number[] }[]>();
    for (const { value, axis, start, size } of this.#axes) {
      for (let i = 0; i < size; i++) {
        const root = this.#root(start + i);
        let parts = members.get(root);
        if (!parts) members.set(root, (parts = []));
        const last = parts.at(-1);
        if (last && last.value === value && last.axis === axis) last.indices.push(i);
        else parts.push({ value, axis, indices: [i] });
      }
    }
    // Units that begin on the same dimension of the same weight form a group.
    interface Found {
      readonly kind: UnitKind;
      readonly units: Unit[];
      reason: string | undefined;
    }
    const byWeight = new Map<Value, Map<string, Found>>();
    for (const [root, parts] of members) {
      const weight = parts.find(({ value }) => value.tensor !== undefined && value.tensor.shape.length >= 2);
      const kind = this.#kinds.get(root);
      if (!weight || kind === undefined) continue;
      const groups = byWeight.get(weight.value) ?? new Map<string, Found>();
      byWeight.set(weight.value, groups);
      const key = `${weight.axis} ${kind}`;
      const group: Found = groups.get(key) ?? { kind, units: [], reason: undefined };
      groups.set(key, group);
      const reason = this.#locks.get(root) ?? (kind === 'hidden' ? undefined : this.#loose.get(root));
      group.reason ??= reason;
      if (reason === undefined) group.units.push({ parts });
    }
    const groups: UnitGroup[] = [];
    const locked: LockedGroup[] = [];
    for (const [weight, found] of byWeight) {
      for (const { kind, units, reason } of found.values()) {
        // a part of it that is locked leaves the rest free, as the outputs of a Concat may
        if (units.length >= 2) groups.push({ kind, name: weight.name, units });
        else if (reason !== undefined) locked.push({ name: weight.name, reason });
      }
    }
    return { groups, locked };
  }

  #span({ value, axis, at = 0, length, run = 1 }: Span): { start: number; length: number; run: number } | undefined {
    const offsets = this.#offsets.get(value);
    const normal = axis < 0 ? axis + (offsets?.length ?? 0) : axis;
    const start = offsets?.[normal] ?? -1;
    if (start < 0) return undefined;
    return { start: start + at, length: length ?? (shapeOf(value)[normal] as number) - at, run };
  }

  #root(atom: number): number {
    const parents = this.#parents;
    let root = atom;
    while (parents[root]! !== root) root = parents[root]!;
    while (parents[atom]! !== root) [parents[atom], atom] = [root, parents[atom]!];
    return root;
  }

  #join(a: number, b: number): void {
    const [x, y] = [this.#root(a), this.#root(b)];
    if (x === y) return;
    this.#parents[y] = x;
    for (const locks of [this.#locks, this.#loose]) {
      const reason = locks.get(y);
      if (reason !== undefined) this.#lock(x, reason, locks);
    }
    const kind = this.#kinds.get(y);
    if (kind !== undefined) this.#kinds.set(x, stronger(this.#kinds.get(x), kind));
  }

  #lockSpan(value: Value | undefined, axis: number, reason: string, locks: Map<number, string>): void {
    const span = value && this.#span({ value, axis });
    if (!span) return;
    for (let i = 0; i < span.length; i++) this.#lock(span.start + i, reason, locks);
  }

  #lock(atom: number, reason: string, locks: Map<number, string>): void {
    const root = this.#root(atom);
    if (!locks.has(root)) locks.set(root, reason);
  }
}

const STRENGTH: Readonly<Record<UnitKind, number>> = { ffn: 0, channels: 1, hidden: 2, heads: 3 };

function stronger(a: UnitKind | undefined, b: UnitKind): UnitKind {
  return a !== undefined && STRENGTH[a] >= STRENGTH[b] ? a : b;
}

/** Sizes of a value, empty when even the rank is not known. */
export function shapeOf(value: Value): readonly unknown[] {
  if (value.tensor) return value.tensor.shape;
  return value.type?.kind === 'tensor' ? (value.type.shape ?? []) : [];
}
