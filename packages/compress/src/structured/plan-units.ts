/** What of a model can be removed as a whole, unit by unit. */
import { allGraphs, allNodes, inferShapes, type Model, type Tensor, toDense, type Value } from '@penjing/core';
import { couple } from './dimension-rules.js';
import type { CoupleContext } from './dimension-rule.js';
import { Dimensions, type LockedGroup, type UnitGroup } from './dimensions.js';

export interface UnitPlan {
  readonly groups: readonly UnitGroup[];
  readonly locked: readonly LockedGroup[];
  readonly ints: CoupleContext['ints'];
}

/** Ports of caches between steps of generation may shrink: who runs the model reads their sizes. */
const CACHE = /^(past|present)/;

export async function planUnits(model: Model): Promise<UnitPlan> {
  liftWeights(model);
  inferShapes(model);
  const ints = await smallIntegers(model);
  const dims = new Dimensions(model);
  for (const node of allNodes(model.graph)) couple(node, { dims, ints });
  for (const [values, what] of [[model.graph.inputs, 'an input'], [model.graph.outputs, 'an output']] as const) {
    for (const value of values) {
      for (let axis = 0; axis < dims.rank(value); axis++) {
        if (CACHE.test(value.name) && axis === 1 && dims.rank(value) === 4) continue;
        // who reads embeddings reads how wide they are
        if (what === 'an output') dims.lockUnlessHidden(value, axis, `it is part of ${value.name}, ${what} of the model`);
        else dims.lock(value, axis, `it is part of ${value.name}, ${what} of the model`);
      }
    }
  }
  return { ...dims.groups(), ints };
}

/** Before IR 4 every weight had to be an input too: there that does not mean that callers override it. */
function liftWeights(model: Model): void {
  const { graph } = model;
  if (model.irVersion >= 4 || !graph.inputs.some((value) => value.tensor)) return;
  graph.inputs.splice(0, Infinity, ...graph.inputs.filter((value) => !value.tensor));
  model.irVersion = 4;
}

/** Shapes, axes and sizes are at most so many numbers. */
const MOST_INTEGERS = 64;

async function smallIntegers(model: Model): Promise<CoupleContext['ints']> {
  const known = new Map<Value, readonly number[]>();
  const add = async (value: Value | undefined, tensor: Tensor | undefined): Promise<void> => {
    if (!value || !tensor || (tensor.dtype !== 'int64' && tensor.dtype !== 'int32')) return;
    if (tensor.kind === 'sparse' || tensor.shape.reduce((product, size) => product * size, 1) > MOST_INTEGERS) return;
    known.set(value, Array.from((await toDense(tensor)).data as BigInt64Array | Int32Array, Number));
  };
  for (const graph of allGraphs(model.graph)) {
    for (const value of graph.initializers.values()) if (!graph.inputs.includes(value)) await add(value, value.tensor);
    for (const node of graph.nodes()) {
      if (node.opType !== 'Constant' || node.domain !== '') continue;
      const list = node.ints('value_ints') ?? (node.attributes.has('value_int') ? [node.int('value_int', 0)] : undefined);
      if (list) known.set(node.output(), list);
      else if (node.attributes.has('value')) await add(node.output(), node.tensor('value'));
    }
  }
  return (value) => (value ? known.get(value) : undefined);
}
