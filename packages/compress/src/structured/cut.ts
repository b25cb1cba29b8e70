/** Takes units out of a graph: weights, sizes in attributes and constants, types. */
import { allGraphs, type Graph, type Model, modelGraphs, Names, type Node, type Tensor, type Value, allNodes, denseOf, lazy } from '@penjing/core';
import { ruleOf } from './dimension-rules.js';
import type { CoupleContext } from './dimension-rule.js';
import { shapeOf, type Unit } from './dimensions.js';

export class Kept {
  readonly #kept = new Map<Value, Map<number, number[]>>();
  readonly #sizes = new Map<Value, readonly unknown[]>();

  constructor(removed: readonly Unit[]) {
    const gone = new Map<Value, Map<number, Set<number>>>();
    for (const { parts } of removed) {
      for (const { value, axis, indices } of parts) {
        const axes = gone.get(value) ?? new Map<number, Set<number>>();
        gone.set(value, axes);
        const set = axes.get(axis) ?? new Set();
        axes.set(axis, set);
        for (const index of indices) set.add(index);
      }
    }
    for (const [value, axes] of gone) {
      this.#sizes.set(value, shapeOf(value));
      const kept = new Map<number, number[]>();
      for (const [axis, set] of axes) kept.set(axis, Array.from({ length: shapeOf(value)[axis] as number }, (_, i) => i).filter((i) => !set.has(i)));
      this.#kept.set(value, kept);
    }
  }

  values(): Iterable<[Value, ReadonlyMap<number, readonly number[]>]> {
    return this.#kept;
  }

  of(value: Value, axis: number): readonly number[] | undefined {
    return this.#kept.get(value)?.get(axis);
  }

  sizeBefore(value: Value, axis: number): number | undefined {
    const size = (this.#sizes.get(value) ?? shapeOf(value))[axis];
    return typeof size === 'number' ? size : undefined;
  }
}

/** `replaced`: weights that were computed anew along one axis, with the other axes still to be cut. */
export function cut(model: Model, kept: Kept, ints: CoupleContext['ints'], replaced: ReadonlyMap<Value, { readonly axis: number; readonly tensor: Tensor }>): void {
  const names = new Names(modelGraphs(model));
  const owners = new Map([...allGraphs(model.graph)].flatMap((graph) => [...graph.nodes()].map((node) => [node, graph] as [Node, Graph])));
  for (const [value, axes] of kept.values()) {
    if (!value.tensor) continue;
    const done = replaced.get(value);
    let tensor = done?.tensor ?? value.tensor;
    for (const [axis, indices] of axes) if (axis !== done?.axis) tensor = take(tensor, axis, indices);
    value.tensor = tensor;
    value.type = { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape };
  }
  for (const node of allNodes(model.graph)) {
    const graph = owners.get(node)!;
    ruleOf(node)?.edit?.(node, {
      ints,
      kept: (value, axis) => kept.of(value, axis),
      sizeBefore: (value, axis) => kept.sizeBefore(value, axis),
      constant: (values) => graph.addInitializer(names.claim(`${node.output().name}_sizes`), denseOf('int64', [values.length], values)),
    });
  }
  for (const [value, axes] of kept.values()) {
    const { type } = value;
    if (value.tensor || type?.kind !== 'tensor' || !type.shape) continue;
    value.type = { ...type, shape: type.shape.map((size, axis) => axes.get(axis)?.length ?? size) };
  }
}

/** Some indices of any axis: gather takes rows, or columns, of matrices. */
function take(tensor: Tensor, axis: number, indices: readonly number[]): Tensor {
  const { shape } = tensor;
  const before = shape.slice(0, axis).reduce((product, size) => product * size, 1);
  const after = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const index = denseOf('int64', [indices.length], indices);
  const cutShape = shape.map((size, i) => (i === axis ? indices.length : size));
  if (before === 1) return lazy.reshape(lazy.gather(lazy.reshape(tensor, [shape[axis]!, after]), index, 0), cutShape);
  // all indices of the axes behind it
  const columns = after === 1 ? index : denseOf('int64', [indices.length * after], indices.flatMap((i) => Array.from({ length: after }, (_, k) => i * after + k)));
  return lazy.reshape(lazy.gather(lazy.reshape(tensor, [before, shape[axis]! * after]), columns, 1), cutShape);
}
