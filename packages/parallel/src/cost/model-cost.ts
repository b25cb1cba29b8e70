/** What every node of a model computes and touches, at given sizes. */
import { capturedValues, dtypes, type Model, type Node, type Shape, type Value, type ValueType } from '@penjing/core';
import { completeSizes, type Sizes, typesAt } from './bind-sizes.js';
import { freeOperators, flopRules, picking, type SizedNode, sizeOf } from './flop-rules.js';
import type { Work } from './work.js';

export interface NodeCost extends Work {
  /** Bytes of weights as they are stored: of int4 half a byte each. */
  readonly weightBytes: number;
  /** Bytes of activations read and written; none where the engine fuses the node into the one before it. */
  readonly activationBytes: number;
  readonly node: Node;
}

export interface ModelCost {
  readonly sizes: Sizes;
  readonly nodes: ReadonlyMap<Node, NodeCost>;
  /** Bytes of a value at these sizes; 0 where nothing is known. */
  readonly bytesOf: (value: Value) => number;
  readonly typeOf: (value: Value) => ValueType | undefined;
  readonly flops: number;
  /** Bytes of all weights. */
  readonly weightBytes: number;
}

/** `sizes` are completed as `completeSizes` says. */
export function modelCost(model: Model, options: { readonly sizes?: Sizes } = {}): ModelCost {
  const sizes = completeSizes(model, options.sizes);
  const { typeOf, chanceOf } = typesAt(model, sizes);
  const bytesOf = (value: Value): number => value.tensor?.byteLength ?? bytesOfType(typeOf(value));
  const weights = weightValues(model);
  const nodes = new Map<Node, NodeCost>();
  for (const node of model.graph.nodes()) nodes.set(node, expected(costOf(node, { typeOf, bytesOf, weights }), chanceOf(node)));
  const stored = new Set([...model.graph.initializers.values()]);
  return {
    sizes,
    nodes,
    bytesOf,
    typeOf,
    flops: [...nodes.values()].reduce((sum, { flops }) => sum + flops, 0),
    weightBytes: [...stored].reduce((sum, { tensor }) => sum + (tensor?.byteLength ?? 0), 0),
  };
}

/** Where nothing has to be done nothing is read. */
function expected(cost: NodeCost, chance: number): NodeCost {
  return chance === 1 ? cost : { ...cost, flops: chance * cost.flops, weightBytes: chance * cost.weightBytes, activationBytes: chance * cost.activationBytes };
}

interface Known {
  readonly typeOf: (value: Value) => ValueType | undefined;
  readonly bytesOf: (value: Value) => number;
  readonly weights: ReadonlySet<Value>;
}

function costOf(node: Node, known: Known): NodeCost {
  const { typeOf, bytesOf, weights } = known;
  // Computed once, when the session is made.
  if (node.outputs.every((value) => weights.has(value))) return { node, kind: 'elementwise', flops: 0, weightBytes: 0, activationBytes: 0 };
  const key = node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}.${node.opType}`;
  const shapeOf = (value: Value | null | undefined): Shape | undefined => {
    const type = value ? (value.tensor ?? typeOf(value)) : undefined;
    const shape = type && 'shape' in type ? type.shape : undefined;
    return shape?.every((dim) => typeof dim === 'number') ? shape : undefined;
  };
  const sized: SizedNode = {
    node,
    shape: (index) => shapeOf(node.inputs[index]),
    output: (index) => shapeOf(node.outputs[index]),
    isWeight: (index) => weights.has(node.inputs[index] as Value),
  };
  const read = node.inputs.filter((value) => value !== null);
  const written = node.outputs.reduce((sum, value) => sum + bytesOf(value), 0);
  const weightBytes = read.filter((value) => weights.has(value)).reduce((sum, value) => sum + weightBytesBehind(value, bytesOf), 0);
  const activations = read.filter((value) => !weights.has(value)).reduce((sum, value) => sum + bytesOf(value), 0);
  const inner = [...node.subgraphs()].map((graph) => {
    let flops = 0;
    for (const child of graph.nodes()) flops += costOf(child, known).flops;
    return { flops, bytes: [...capturedValues(graph)].reduce((sum, value) => sum + bytesOf(value), 0) };
  });
  const work = (Object.hasOwn(flopRules, key) ? flopRules[key as keyof typeof flopRules]!(sized) : undefined) ?? NOTHING;
  if (freeOperators.has(key) || isHalfOfPair(node)) return { node, kind: 'elementwise', flops: 0, weightBytes: 0, activationBytes: 0 };
  const picks = picking.has(key);
  return {
    node,
    ...work,
    kind: work.flops > 0 && PAIRED.has(node.opType) && node.inputs.slice(0, 2).every((value) => value?.producer?.opType === 'DequantizeLinear') ? 'integer' : work.kind,
    // Of two branches one runs; loops count one round, for nobody knows how many there will be.
    flops: work.flops + Math.max(0, ...inner.map(({ flops }) => flops)),
    weightBytes: (picks ? Math.min(weightBytes, written) : weightBytes * (work.read ?? 1)) + Math.max(0, ...inner.map(({ bytes }) => bytes)),
    activationBytes: isFused(node, key) ? 0 : picks ? 2 * written : activations + written,
  };
}

const NOTHING: Work = { kind: 'elementwise', flops: 0 };

/** ONNX Runtime computes these while it writes what the convolution or product before them gives. */
const FUSED: ReadonlySet<string> = new Set(['Relu', 'Clip', 'LeakyRelu', 'BatchNormalization', 'HardSwish', 'Sigmoid']);
const INTO: ReadonlySet<string> = new Set(['Conv', 'Gemm', 'FusedConv', 'QLinearConv']);

function isFused(node: Node, key: string): boolean {
  if (!FUSED.has(key)) return false;
  const producer = node.inputs[0]?.producer;
  return producer !== undefined && INTO.has(producer.opType) && node.inputs[0]!.useCount === 1;
}

/** Products between dequantized inputs, which ONNX Runtime computes on the integers. */
const PAIRED: ReadonlySet<string> = new Set(['Conv', 'MatMul', 'Gemm']);

/** A cast to or from integers that becomes part of such a product. */
function isHalfOfPair(node: Node): boolean {
  if (node.opType === 'DequantizeLinear') return node.outputs[0]!.uses().some((use) => PAIRED.has(use.node.opType));
  return node.opType === 'QuantizeLinear' && PAIRED.has(node.inputs[0]?.producer?.opType ?? '') && node.inputs[0]!.producer!.inputs[0]?.producer?.opType === 'DequantizeLinear';
}

/** Initializers, and what is computed from them alone. */
function weightValues({ graph }: Model): ReadonlySet<Value> {
  const weights = new Set<Value>([...graph.initializers.values()].filter((value) => !graph.inputs.includes(value)));
  for (const node of graph.nodes()) {
    const read = [...node.inputs.filter((value) => value !== null), ...node.subgraphs().flatMap((inner) => [...capturedValues(inner)])];
    if (read.every((value) => weights.has(value)) && !node.opType.startsWith('Random')) for (const value of node.outputs) weights.add(value);
  }
  return weights;
}

/** A dequantized weight counts as it is stored: what bounds its product is how fast it can be read. */
function weightBytesBehind(value: Value, bytesOf: (value: Value) => number): number {
  const { producer } = value;
  if (value.tensor || !producer) return bytesOf(value);
  if (producer.opType !== 'DequantizeLinear') return bytesOf(value);
  return producer.inputs.reduce((sum, input) => sum + (input ? bytesOf(input) : 0), 0);
}

function bytesOfType(type: ValueType | undefined): number {
  if (type?.kind !== 'tensor' || !type.shape?.every((dim) => typeof dim === 'number')) return 0;
  return Math.ceil((sizeOf(type.shape) * (type.dtype ? dtypes[type.dtype].bits : 32)) / 8);
}
