/** Where axes that go together are cut: into equal units, none of which an operator would have to take apart. */
import type { Range } from './sharded-model.js';
import type { AxisKey, WayUse } from './components.js';
import { isSlot } from './components.js';
import { common } from './rules/reshape.js';
import type { Share, Slot } from './rule.js';

export interface AxisLayout {
  /** Units of every segment of every axis. */
  readonly units: number;
  share(shard: number): Share;
  /** By shard. */
  ranges(key: AxisKey): readonly (readonly Range[])[];
}

/** More parts side by side than any operator has that is not a list of things. */
const MOST_SEGMENTS = 64;

interface Axis {
  readonly size: number;
  /** Borders of the segments, each of which is shared out by itself: queries, keys, values. */
  readonly borders: Set<number>;
}

/** Undefined when there are fewer units than shards. */
export function axisLayout(uses: readonly WayUse[], shards: number): AxisLayout | undefined {
  const axes = new Map<AxisKey, Axis>();
  const slots = uses.map(({ way, inputs, outputs }) => {
    const found: (readonly [AxisKey, Slot])[] = [];
    const add = (key: AxisKey | undefined, place: unknown): void => {
      if (key !== undefined && isSlot(place as Slot)) found.push([key, place as Slot]);
    };
    inputs.forEach((key, i) => add(key, way.inputs[i]));
    outputs.forEach((key, i) => add(key, way.outputs[i]));
    return { size: way.size ?? found.find(([, { offsets }]) => !offsets)?.[1].size ?? 0, marks: way.borders ?? [], slots: found };
  });
  for (const { slots: list } of slots) {
    for (const [key, { size }] of list) {
      const axis = axes.get(key);
      if (axis && axis.size !== size) return undefined;
      if (!axis) axes.set(key, { size, borders: new Set([0, size]) });
    }
  }
  if (!spreadBorders(slots, axes)) return undefined;

  let units = uses.reduce((all, { way }) => (way.units === undefined ? all : common(all, way.units)), 0);
  for (const { borders } of axes.values()) {
    const sorted = [...borders].sort((a, b) => a - b);
    for (let i = 1; i < sorted.length; i++) units = common(units, sorted[i]! - sorted[i - 1]!);
  }
  if (units < shards) return undefined;

  const first = (shard: number): number => Math.floor(units / shards) * shard + Math.min(shard, units % shards);
  return {
    units,
    share: (shard) => ({ shard, shards, of: (count) => (count / units) * (first(shard + 1) - first(shard)), before: (count) => (count / units) * first(shard) }),
    ranges(key) {
      const sorted = [...axes.get(key)!.borders].sort((a, b) => a - b);
      return Array.from({ length: shards }, (_, shard) => {
        const ranges: [number, number][] = [];
        for (let i = 1; i < sorted.length; i++) {
          const [from, length] = [sorted[i - 1]!, sorted[i]! - sorted[i - 1]!];
          const at = (unit: number): number => from + (length / units) * unit;
          const next: [number, number] = [at(first(shard)), at(first(shard + 1))];
          const last = ranges.at(-1);
          if (last?.[1] === next[0]) last[1] = next[1];
          else ranges.push(next);
        }
        return ranges;
      });
    },
  };
}

/** Carries borders along every way until nothing changes; false where they do not fall on elements. */
function spreadBorders(ways: readonly { readonly size: number; readonly marks: readonly number[]; readonly slots: readonly (readonly [AxisKey, Slot])[] }[], axes: ReadonlyMap<AxisKey, Axis>): boolean {
  for (let changed = true; changed;) {
    changed = false;
    for (const { size, marks, slots } of ways) {
      const borders = new Set([0, size, ...marks]);
      for (const [key, { offsets = [0], span = size, size: own }] of slots) {
        for (const offset of offsets) for (const border of axes.get(key)!.borders) borders.add(offset + (border * span) / own);
      }
      if (borders.size > MOST_SEGMENTS || ![...borders].every(Number.isInteger)) return false;
      for (const [key, { offsets = [0], span = size, size: own }] of slots) {
        const known = axes.get(key)!.borders;
        const before = known.size;
        for (const offset of offsets) for (const border of borders) if (border >= offset && border <= offset + span) known.add(((border - offset) * own) / span);
        if (![...known].every(Number.isInteger)) return false;
        changed ||= known.size > before;
      }
    }
  }
  return true;
}
