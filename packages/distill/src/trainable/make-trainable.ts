/** A model that is made to be deployed becomes one that can be trained. */
import { dtypes, inferShapes, type Model, type Node, PenjingError, storedTensors, type TaskOptions, Value } from '@penjing/core';
import { removeDead, simplify, upgradeOpset } from '@penjing/core/rewrite';
import { missingGradients } from '../gradient/differentiate.js';
import { GradientOps } from '../gradient/ops.js';
import { gradientRules } from '../gradient/rules.js';
import { isTrainable } from '../trainable-inputs.js';
import type { DecompositionContext } from './decomposition.js';
import { decompositions } from './decompositions.js';
import { dropPast, withoutCache } from './without-cache.js';

export interface Trainable {
  readonly model: Model;
  /** Fused operators that were taken apart, and how many of each. */
  readonly decomposed: Readonly<Record<string, number>>;
  /** Inputs that went with the cache. */
  readonly removedInputs: readonly string[];
  /** Operators without a gradient between a weight and an output, by name; empty when every weight can be trained. */
  readonly missing: readonly string[];
}

/** Gradients need it; an older model is raised to it. */
const OLDEST_OPSET = 18;

/**
 * Takes away the cache of a decoder (`past_key_values.*`, `present.*`, `use_cache_branch`; an `attention_mask` is then as long as the tokens), and takes
 * fused operators apart into those that have gradients. **Names of weights and of the other inputs and outputs stay**, so trained values go back into the deployable model by name. Outputs are equal up to
 * rounding wherever a token is not padding. Owns the model and edits it in place.
 *
 * What is fused in a way that is not known here stays and is listed in `missing`. Throws `E_UNSUPPORTED` for a cache that is not read as converters do, `E_DTYPE` for weights in
 * half precision, which small updates do not change, `E_OPSET` where an old model cannot be raised.
 */
export async function makeTrainable(original: Model, task: TaskOptions = {}): Promise<Trainable> {
  refuseHalves(original);
  if ((original.opset() ?? 1) < OLDEST_OPSET) upgradeOpset(original, OLDEST_OPSET);
  const removedInputs = withoutCache(original);
  // The gradients of whole norms are shorter than those of what they are spelled in.
  const fused = await simplify({ only: ['inline-if', 'fuse-rms-norm', 'fuse-layer-norm', 'dead'], fusions: 'onnxruntime', keepDefaults: true, allowGrowth: true }).run(original, task);
  const { model } = fused;
  dropPast(model);
  inferShapes(model);
  model.opsetImports.set('com.microsoft', 1);
  const decomposed = decompose(model);
  removeDead(model);
  inferShapes(model);
  return { model, decomposed, removedInputs, missing: missingOf(model) };
}

function refuseHalves(model: Model): void {
  for (const { name, tensor } of storedTensors(model)) {
    if (tensor.kind !== 'sparse' && dtypes[tensor.dtype].kind === 'float' && dtypes[tensor.dtype].bits < 32 && tensor.shape.length > 0) {
      throw new PenjingError('E_DTYPE', `${name} is ${tensor.dtype}: updates that are small against a weight would be lost`, { hint: 'Convert the model in float32, train it, and convert the result.' });
    }
  }
}

function missingOf(model: Model): string[] {
  const weights = [...model.graph.initializers].flatMap(([name, { tensor }]) => (tensor && isTrainable(name, tensor) ? [name] : []));
  const outputs = model.graph.outputs.filter(({ type }) => type?.kind === 'tensor' && type.dtype !== undefined && dtypes[type.dtype].kind === 'float');
  return [...new Set(outputs.flatMap(({ name }) => missingGradients(model, { loss: name, of: weights })))].sort();
}

function decompose(model: Model): Record<string, number> {
  const ops = new GradientOps(model);
  const shared = new Map<string, Value>();
  const counts: Record<string, number> = {};
  const ids = new Map<Value, number>();
  const keyOf = (part: Value | string | number | undefined): string => {
    if (!(part instanceof Value)) return JSON.stringify(part) ?? '-';
    if (!ids.has(part)) ids.set(part, ids.size);
    return `#${ids.get(part)!}`;
  };
  for (const node of [...model.graph.nodes()]) {
    const name = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
    const decomposition = gradientRules[name] ? undefined : decompositions[name];
    if (!decomposition) continue;
    try {
      const outputs = ops.before(node, () => ops.scope(node.name || node.opType, () => decomposition(contextOf(node, model, ops, (of, key, make) => {
        const id = [key, ...of.map(keyOf)].join(' ');
        const known = shared.get(id) ?? make();
        shared.set(id, known);
        return known;
      }))));
      replace(node, outputs, model, ops);
      counts[name] = (counts[name] ?? 0) + 1;
    } catch (error) {
      // It stays, and `missing` names it; what was made for it is dead.
      if (!(error instanceof PenjingError) || error.code !== 'E_UNSUPPORTED') throw error;
    }
  }
  return counts;
}

/** What reads the fused node's outputs reads the new ones; outputs of the graph keep their names. */
function replace(node: Node, outputs: readonly (Value | undefined)[], model: Model, ops: GradientOps): void {
  const { graph } = model;
  node.outputs.forEach((old, i) => {
    if (old.name === '' || (old.useCount === 0 && !graph.outputs.includes(old))) return;
    const given = outputs[i]!;
    if (!graph.outputs.includes(old)) return old.replaceUsesWith(given);
    const made = ops.before(node, () => ops.op('Identity', [given]));
    const index = node.outputs.indexOf(old);
    node.replaceOutput(index, new Value(`${old.name}/fused`));
    made.producer!.replaceOutput(0, old);
  });
  graph.remove(node);
}

function contextOf(node: Node, model: Model, ops: GradientOps, shared: DecompositionContext['shared']): DecompositionContext {
  return {
    node, ops, shared,
    input(index) {
      const value = node.input(index);
      if (!value) throw new PenjingError('E_GRAPH', `${node.describe()} lacks input ${index}`);
      return value;
    },
    optional: (index) => node.input(index),
    reads(index) {
      const value = node.outputs[index];
      return value !== undefined && value.name !== '' && (value.useCount > 0 || model.graph.outputs.includes(value));
    },
    unsupported: (what) => new PenjingError('E_UNSUPPORTED', `${what} (${node.describe()})`),
  };
}
