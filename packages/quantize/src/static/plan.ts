/** Decides which nodes compute on integers and which values lie on grids, before anything is measured. */
import type { Graph, Node, Value } from '@penjing/core';
import { foldedActivation } from './fold-activation.js';
import { type IntegerRule, type Policy, ruleOf } from './rule.js';

export interface PlanOptions {
  readonly policy: Policy;
  readonly activations: 'uint8' | 'int8';
  /** Everything that has a rule, up to the outputs; otherwise only what does not leave integers for its own sake. */
  readonly everything: boolean;
  readonly excluded: (node: Node) => boolean;
  /** Values that cannot lie on a grid, with the reason. */
  readonly unusable: ReadonlyMap<Value, string>;
}

/** A node that computes on integers, with what belongs to it. */
export interface IntegerNode {
  readonly node: Node;
  readonly rule: IntegerRule;
  /** Computed values it reads from grids. */
  readonly inputs: readonly Value[];
  /** An Add of a constant bias behind a MatMul. */
  readonly biasAdd: Node | undefined;
  /** A Relu or Clip that the grid of the result does as well. */
  readonly activation: Node | undefined;
  /** What comes out, behind those. */
  readonly outputs: readonly Value[];
}

export interface StaticPlan {
  readonly nodes: readonly IntegerNode[];
  /** Values that lie on a grid. */
  readonly values: ReadonlySet<Value>;
  /** The value whose range decides the grid of another: itself, or where its codes were moved from. */
  readonly rootOf: (value: Value) => Value;
  /** Nodes with a weight that stay, with the reason. */
  readonly refused: ReadonlyMap<Node, string>;
}

/** Plans one graph; its shapes are inferred. */
export function planStatic(graph: Graph, options: PlanOptions): StaticPlan {
  const planner = new Planner(graph, options);
  for (const node of graph.nodes()) planner.consider(node);
  return planner.finish();
}

class Planner {
  readonly #graph: Graph;
  readonly #options: PlanOptions;
  readonly #chosen = new Map<Node, IntegerNode>();
  /** Results that are integers anyway. */
  readonly #integers = new Set<Value>();
  readonly #refused = new Map<Node, string>();
  /** Nodes that became part of another. */
  readonly #absorbed = new Set<Node>();

  constructor(graph: Graph, options: PlanOptions) {
    this.#graph = graph;
    this.#options = options;
  }

  consider(node: Node): void {
    const rule = ruleOf(this.#options.policy, node);
    if (!rule || this.#absorbed.has(node)) return;
    const inputs = this.#activationsOf(node, rule);
    const reason = typeof inputs === 'string' ? inputs : this.#refusal(node, rule, inputs);
    if (reason !== undefined || typeof inputs === 'string') {
      if (rule.kind === 'product') this.#refused.set(node, reason!);
      return;
    }
    if (rule.kind !== 'product' && !this.#options.everything && !inputs.every((value) => this.#integers.has(value))) return;
    const biasAdd = rule.kind === 'product' && rule.addsBias ? this.#biasAdd(node, rule) : undefined;
    const last = biasAdd ?? node;
    const activation = rule.kind === 'move' ? undefined : foldedActivation(last, this.#graph);
    if (biasAdd) this.#absorbed.add(biasAdd);
    if (activation) this.#absorbed.add(activation);
    const outputs = (activation ?? last).outputs.filter(({ name }) => name !== '');
    if (outputs.some((value) => this.#options.unusable.has(value))) {
      // A Conv without a grid for its result would not be fused.
      if (rule.kind === 'product') this.#refused.set(node, this.#options.unusable.get(outputs[0]!) ?? 'its result cannot be quantized');
      return;
    }
    this.#chosen.set(node, { node, rule, inputs, biasAdd, activation, outputs });
    if (rule.kind !== 'product' || rule.output === 'integer') for (const value of outputs) this.#integers.add(value);
  }

  finish(): StaticPlan {
    if (!this.#options.everything) this.#dropNeedless();
    const nodes = [...this.#chosen.values()];
    const values = new Set<Value>(nodes.flatMap(({ inputs }) => inputs));
    for (const { rule, outputs } of nodes) if (rule.kind !== 'product' || rule.output === 'integer') for (const value of outputs) values.add(value);
    const movedFrom = new Map(nodes.flatMap(({ rule, inputs, outputs }) => (rule.kind === 'move' ? outputs.map((value) => [value, inputs[0]!] as const) : [])));
    const rootOf = (value: Value): Value => {
      for (let from = movedFrom.get(value); from; from = movedFrom.get(value)) value = from;
      return value;
    };
    return { nodes, values, rootOf, refused: this.#refused };
  }

  /** Computations whose results only floats read: with floats they are exact. */
  #dropNeedless(): void {
    const needed = new Set<Value>();
    for (const found of [...this.#chosen.values()].reverse()) {
      if (found.rule.kind === 'compute' && !found.outputs.some((value) => needed.has(value))) this.#chosen.delete(found.node);
      else if (found.rule.kind !== 'move' || found.outputs.some((value) => needed.has(value))) for (const value of found.inputs) needed.add(value);
    }
  }

  /** The computed values that must be on grids, or why there are none. */
  #activationsOf(node: Node, rule: IntegerRule): Value[] | string {
    const special = rule.kind === 'product' ? [rule.weight, rule.bias] : [];
    const indices = rule.activations ?? node.inputs.map((_, i) => i).filter((i) => !special.includes(i));
    const values = indices.map((i) => node.input(i)).filter((value) => value !== undefined && value.name !== '' && !this.#isConstant(value)) as Value[];
    if (values.length === 0) return 'its input is constant';
    for (const value of values) {
      if (value.type?.kind !== 'tensor' || value.type.dtype !== 'float32') return `its input ${value.name} is not known to be float32`;
      const reason = this.#options.unusable.get(value);
      if (reason !== undefined) return reason;
    }
    return values;
  }

  #refusal(node: Node, rule: IntegerRule, inputs: readonly Value[]): string | undefined {
    if (this.#options.excluded(node)) return 'excluded';
    const special = rule.refuse?.(node, this.#options);
    if (special !== undefined) return special;
    if (rule.kind !== 'product') {
      const constants = node.inputs.filter((value) => value && this.#isConstant(value) && !rule.activations);
      return inputs.length > 0 && constants.every((value) => value!.tensor?.dtype === 'float32') ? undefined : 'its constants are not float32';
    }
    const weight = node.input(rule.weight);
    if (!weight?.tensor || !this.#isConstant(weight)) return 'both factors are computed';
    if (weight.tensor.dtype !== 'float32' || (weight.tensor.kind !== 'dense' && weight.tensor.kind !== 'lazy')) return `its weight is stored as ${weight.tensor.kind === 'sparse' ? 'a sparse tensor' : weight.tensor.dtype}`;
    const bias = rule.bias === undefined ? undefined : node.input(rule.bias);
    if (bias && (!bias.tensor || !this.#isConstant(bias) || bias.tensor.dtype !== 'float32' || bias.tensor.shape.length > 2)) return 'its bias is computed';
    return undefined;
  }

  #isConstant(value: Value): boolean {
    return value.tensor !== undefined && !value.producer && !this.#graph.inputs.includes(value);
  }

  /** The Add of a vector behind a MatMul, when nothing else reads the product. */
  #biasAdd(node: Node, rule: IntegerRule): Node | undefined {
    const product = node.output();
    const [use, ...others] = product.uses();
    const add = use?.node;
    if (rule.kind !== 'product' || !add || others.length > 0 || this.#graph.outputs.includes(product) || add.graph !== this.#graph || add.opType !== 'Add' || add.domain !== '') return undefined;
    const bias = add.input(1 - use.index);
    const channels = node.input(rule.weight)!.tensor!.shape.at(-1);
    const fits = bias?.tensor && this.#isConstant(bias) && bias.tensor.dtype === 'float32' && bias.tensor.shape.length === 1 && bias.tensor.shape[0] === channels;
    return fits && rule.axis(node) !== undefined && !this.#options.excluded(add) ? add : undefined;
  }
}
