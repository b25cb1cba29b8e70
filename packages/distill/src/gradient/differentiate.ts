/** Reverse-mode differentiation as a graph transformation. */
import { allNodes, type DType, dtypes, type Model, type Node, PenjingError, tensorType, Value } from '@penjing/core';
import { dimsOf, dtypeOf, GradientOps } from './ops.js';
import { recomputation } from './recompute.js';
import type { GradientContext } from './rule.js';
import { constantOperators, gradientRules } from './rules.js';

export interface DifferentiateOptions {
  /** Name of the value to differentiate: a floating-point tensor of one element. */
  readonly loss: string;
  /** Names of the values whose gradients are wanted: inputs of the graph, initializers or results of nodes. */
  readonly of: readonly string[];
  /**
   * Names of values that are kept for the backward pass, the outputs of blocks for example (`blockOutputs`): what lies between two of them is computed once more when its gradients are. That takes the
   * memory of one block instead of all, and about a third more time. When absent, everything is kept.
   */
  readonly keep?: readonly string[] | undefined;
}

/** Operators take their axes as inputs since then, and scatter with additions. */
const OLDEST_OPSET = 18;

/** The output that holds the gradient of a value. */
export const gradientName = (name: string): string => `gradient/${name}`;

/**
 * Adds to a model, in place, one output `gradient/NAME` for each value of `of`: ∂loss/∂value, with its shape and dtype (zeros where the loss does not depend on it). Nodes are
 * appended after those of the forward pass, and the loss is an output.
 *
 * Throws `E_UNSUPPORTED` with every operator on the way that has no gradient, before anything is changed; `E_INPUT` for a name that the graph does not have or a loss that is not one
 * floating-point number; `E_OPSET` below opset 18.
 */
export function differentiate(model: Model, { loss: lossName, of, keep = [] }: DifferentiateOptions): void {
  const opset = model.opsetImports.get('') ?? 0;
  if (opset < OLDEST_OPSET) throw new PenjingError('E_OPSET', `gradients need opset ${OLDEST_OPSET}, the model has ${opset}`, { hint: 'Raise it first: upgradeOpset of @penjing/core/rewrite.' });
  const ops = new GradientOps(model);
  const values = namedValues(model);
  const loss = valueOf(values, lossName);
  if (dtypes[dtypeOf(loss)].kind !== 'float' || dimsOf(loss)?.some((dim) => dim !== 1)) {
    throw new PenjingError('E_INPUT', `${lossName} is not one floating-point number`, { hint: 'Reduce it, with ReduceMean for example.' });
  }
  const targets = of.map((name) => valueOf(values, name));
  const path = nodesBetween(model, new Set(targets), loss);
  checkRules(path);

  const forward = new Set(model.graph.nodes());
  const gradients = new Map<Value, Value[]>();
  const addGradient = (value: Value, gradient: Value): void => void gradients.set(value, [...(gradients.get(value) ?? []), gradient]);
  // Summed once, when every use has given its part: nodes come in reverse order.
  const gradientOf = (value: Value): Value | undefined => {
    const parts = gradients.get(value);
    if (!parts) return undefined;
    const sum = parts.reduce((a, b) => ops.add(a, b));
    gradients.set(value, [sum]);
    return sum;
  };

  const again = recomputation(path, new Set(keep.map((name) => valueOf(values, name))), ops, gradientOf);
  const readers = (value: Value): Node[] => value.uses().map(({ node }) => node).filter((node) => forward.has(node) || again.twins.has(node) || node.graph !== model.graph);

  ops.scope('gradient', () => {
    addGradient(loss, ops.expandLike(ops.scalar(1, loss), loss));
    const asked = new Set(targets);
    const flows = new Set(targets);
    for (const node of path) for (const output of node.outputs.filter(isContinuous)) flows.add(output);
    for (const node of [...path].reverse()) {
      const outputs = node.outputs.map(gradientOf);
      if (outputs.every((gradient) => gradient === undefined)) continue;
      ops.scope(node.name || node.opType, () => {
        const twin = again.twin(node);
        const context = contextOf(twin, ops, { outputs, flows: (value) => flows.has(again.original(value)), gradientAt: (value) => gradientOf(again.original(value)), isTarget: (value) => asked.has(again.original(value)), readers });
        // A rule may rewrite the forward pass: gradients are those of what the node read before.
        const inputs = [...twin.inputs];
        gradientRules[nameOf(node)]!(context).forEach((rule, index) => {
          const input = inputs[index];
          if (rule && input && context.needs(index)) addGradient(again.original(input), rule());
        });
      });
    }
    targets.forEach((target) => {
      const gradient = gradientOf(target) ?? ops.zerosLike(target);
      // One value may be the gradient of two: each output has a name of its own.
      ops.output(ops.op('Identity', [gradient]), gradientName(target.name)).type = target.type;
    });
  });
  if (!model.graph.outputs.includes(loss)) model.graph.outputs.push(loss);
}

/** The operators between the loss and the values that have no gradient, by name; empty when `differentiate` will work. */
export function missingGradients(model: Model, { loss, of }: DifferentiateOptions): string[] {
  const values = namedValues(model);
  return missing(nodesBetween(model, new Set(of.map((name) => valueOf(values, name))), valueOf(values, loss)));
}

const nameOf = (node: Node): string => (node.domain === '' ? node.opType : `${node.domain}.${node.opType}`);

function missing(path: readonly Node[]): string[] {
  return [...new Set(path.map(nameOf).filter((name) => !gradientRules[name]))].sort();
}

function checkRules(path: readonly Node[]): void {
  const names = missing(path);
  if (names.length === 0) return;
  const first = path.find((node) => nameOf(node) === names[0])!;
  throw new PenjingError('E_UNSUPPORTED', `no gradient for ${names.join(', ')} (${first.describe()})`, { hint: 'Decompose them into standard operators, or train weights that come after them.' });
}

/** Nodes of the graph that depend on a target and that the loss depends on, in order. */
function nodesBetween(model: Model, targets: ReadonlySet<Value>, loss: Value): Node[] {
  const dependent = new Set<Value>(targets);
  const forward = [...model.graph.nodes()].filter((node) => {
    if (constantOperators.has(nameOf(node)) || ![...node.inputs, ...captured(node)].some((value) => value !== null && dependent.has(value))) return false;
    const outputs = node.outputs.filter(isContinuous);
    for (const output of outputs) dependent.add(output);
    return outputs.length > 0;
  });
  const wanted = new Set<Value>([loss]);
  return forward.reverse().filter((node) => {
    if (!node.outputs.some((output) => wanted.has(output))) return false;
    for (const value of [...node.inputs, ...captured(node)]) if (value) wanted.add(value);
    return true;
  }).reverse();
}

/** Whether small changes can pass through a value: integers and booleans stop them, but for codes, whose gradients go straight through. */
function isContinuous({ type, producer }: Value): boolean {
  if (producer?.opType === 'QuantizeLinear' && producer.domain === '') return true;
  return type?.kind !== 'tensor' || type.dtype === undefined || dtypes[type.dtype].kind === 'float';
}

/** Values that the subgraphs of a node read from outside. */
function* captured(node: Node): Iterable<Value> {
  for (const graph of node.subgraphs()) for (const inner of allNodes(graph)) for (const value of inner.inputs) if (value) yield value;
}

function namedValues(model: Model): ReadonlyMap<string, Value> {
  const { graph } = model;
  const values = [...graph.inputs, ...graph.initializers.values(), ...[...graph.nodes()].flatMap((node) => [...node.outputs])];
  return new Map(values.map((value) => [value.name, value]));
}

function valueOf(values: ReadonlyMap<string, Value>, name: string): Value {
  const value = values.get(name);
  if (!value) throw new PenjingError('E_INPUT', `the graph has no value ${name}`);
  return value;
}

interface Surroundings extends Pick<GradientContext, 'gradientAt' | 'isTarget' | 'readers'> {
  /** Gradients of the node's outputs. */
  readonly outputs: readonly (Value | undefined)[];
  /** Whether the gradient of a value is wanted. */
  readonly flows: (value: Value) => boolean;
}

function contextOf(node: Node, ops: GradientOps, { outputs, flows, gradientAt, isTarget, readers }: Surroundings): GradientContext {
  const unsupported = (what: string): PenjingError => new PenjingError('E_UNSUPPORTED', `no gradient for ${what} (${node.describe()})`);
  const input = (index: number): Value => {
    const value = node.input(index);
    if (!value) throw new PenjingError('E_GRAPH', `${node.describe()} lacks input ${index}`);
    return value;
  };
  const given = [...node.inputs];
  return {
    node, ops, input, unsupported, gradientAt, isTarget, readers,
    optional: (index) => node.input(index),
    output: (index = 0) => node.output(index),
    get gradient() {
      const gradient = outputs[0];
      if (!gradient) throw unsupported(`outputs of ${node.opType} other than the first`);
      return gradient;
    },
    gradientOf: (index) => outputs[index],
    require(index, dtype: DType) {
      const known = node.outputs[index];
      if (known && known.name !== '') return known;
      const value = new Value(`${node.output(0).name}/output${index}`, tensorType(dtype, dimsOf(node.output(0))));
      if (known) node.replaceOutput(index, value);
      else node.addOutput(value);
      return value;
    },
    substitute(index, make) {
      const old = node.outputs[index];
      const { graph } = node;
      if (!old || old.name === '' || !graph || (old.useCount === 0 && !graph.outputs.includes(old))) return;
      const made = ops.op('Identity', [make()]);
      const { type } = old;
      node.replaceOutput(index, new Value('', type));
      made.producer!.replaceOutput(0, old);
    },
    needs: (index) => {
      const value = given[index];
      return value ? flows(value) : false;
    },
    ints(index) {
      const values = ops.knownInts(input(index));
      if (!values) throw unsupported(`${node.opType} whose input ${index} is computed at run time`);
      return values;
    },
  };
}
