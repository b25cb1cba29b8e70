/** Mixtures of experts that are one operator, as the networks of their experts: each can then stand on a shard of its own. */
import { cloneModel, GraphBuilder, lazy, type Model, type Node, PenjingError, type Tensor, type Value } from '@penjing/core';
import { removeDead, upgradeOpset } from '@penjing/core/rewrite';
import { nameOf } from './graph-facts.js';

/** ScatterND adds from 16 on, sums over axes take them as an input from 18 on. */
const OPSET = 18;

/** One layer of all experts: inputs of the operator by number. */
interface Layer {
  readonly weight: number;
  readonly bias: number;
  readonly scales?: number;
  readonly zeros?: number;
}

interface Form {
  readonly layers: readonly [Layer, Layer];
  /** Inputs that take another way of computing. */
  readonly refused: readonly number[];
}

const forms: Readonly<Record<string, Form>> = {
  'com.microsoft.MoE': { layers: [{ weight: 2, bias: 3 }, { weight: 4, bias: 5 }], refused: [6, 7] },
  'com.microsoft.QMoE': { layers: [{ weight: 2, scales: 3, bias: 4, zeros: 11 }, { weight: 5, scales: 6, bias: 7, zeros: 12 }], refused: [8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20] },
};

/** A copy of the model in which every expert computes the tokens that chose it, in products of its own; the model itself where it has no such operator. Throws `E_UNSUPPORTED` for what cannot be said so. */
export function openMixtures(original: Model): Model {
  if (![...original.graph.nodes()].some((node) => Object.hasOwn(forms, nameOf(node)))) return original;
  const model = cloneModel(original);
  model.origin = undefined;
  if ((model.opset() ?? OPSET) < OPSET) upgradeOpset(model, OPSET);
  const builder = new GraphBuilder(model.graph);
  for (const node of [...model.graph.nodes()]) {
    const form = forms[nameOf(node)];
    if (!form) continue;
    const why = obstacle(node, form);
    if (why !== undefined) throw new PenjingError('E_UNSUPPORTED', `${node.describe()} cannot be shared out by whole experts: ${why}`, { hint: 'Leave `experts` out: every shard then takes a part of every expert.' });
    const output = builder.before(node, () => builder.scope(node.name || node.opType, () => mixture(builder, node, form)));
    const { name, type } = node.output();
    model.graph.replaceValue(node.output(), output);
    model.graph.remove(node);
    Object.assign(output, { name, type });
  }
  removeDead(model);
  return model;
}

const tensorOf = (node: Node, index: number): Tensor | undefined => node.input(index)?.tensor;

/** Why the experts of a node cannot be taken apart; undefined when they can. */
function obstacle(node: Node, { layers, refused }: Form): string | undefined {
  if (refused.some((index) => node.input(index))) return 'it has a third layer, weights of the router or scales of its own kind';
  if (node.int('use_sparse_mixer', 0) !== 0) return 'use_sparse_mixer chooses experts in another way';
  if (node.int('swiglu_limit_after_activation', 0) !== 0) return 'swiglu_limit_after_activation';
  const activation = node.string('activation_type', 'relu');
  if (activation === 'swiglu' ? node.int('swiglu_fusion', 0) !== 1 : !Object.hasOwn(activations, activation)) return activation === 'swiglu' ? 'swiglu that is not interleaved' : `activation_type ${activation}`;
  if (layers.some(({ weight, scales }) => tensorOf(node, weight)?.shape.length !== 3 || (scales !== undefined && !tensorOf(node, scales)))) return 'its weights are no stored tensors of three dimensions';
  if (layers.some(({ bias, zeros }) => [bias, zeros].some((index) => index !== undefined && node.input(index) && !tensorOf(node, index)))) return 'its biases or zero points are computed';
  if (nameOf(node) === 'com.microsoft.MoE') return undefined;
  const [bits, block] = [node.int('expert_weight_bits', 4), node.int('block_size', 0)];
  if (node.string('quant_type', 'int') !== 'int' || node.int('weights_prepacked', -1) === 1) return 'its weights are packed for one kind of device';
  if (![4, 8].includes(bits)) return `weights of ${bits} bits`;
  // What MatMulNBits takes.
  if (block < 16 || (block & (block - 1)) !== 0) return `a block_size of ${block}`;
  if (layers.some(({ weight }) => (tensorOf(node, weight)!.shape[2]! * (8 / bits)) % block !== 0)) return 'blocks that do not fill a row';
  return undefined;
}

/** x: (…, hidden), router: (tokens, experts). */
function mixture(b: GraphBuilder, node: Node, { layers }: Form): Value {
  const [x, router] = [node.input(0)!, node.input(1)!];
  const experts = tensorOf(node, layers[0].weight)!.shape[0]!;
  const inner = nameOf(node) === 'com.microsoft.QMoE' ? packedWidth(node, layers[0]) : tensorOf(node, layers[0].weight)!.shape[2]!;
  const tokens = b.op('Reshape', [x, b.constant('int64', [-1, inner])]);
  const shares = b.op('Transpose', [routing(b, node, b.op('Reshape', [router, b.constant('int64', [-1, experts])]))], { perm: [1, 0] }); // (experts, tokens)
  // In float32, whatever the tokens are: ONNX Runtime's ScatterND on a CPU refuses to add float16.
  let sum = b.op('Expand', [b.constant('float32', 0), b.op('Shape', [tokens])]);
  for (let i = 0; i < experts; i++) {
    const share = b.op('Gather', [shares, b.constant('int64', i)]);
    const rows = b.op('Transpose', [b.op('NonZero', [share])], { perm: [1, 0] }); // (chosen, 1)
    let h = b.op('GatherND', [tokens, rows]);
    layers.forEach((layer, at) => {
      h = product(b, node, layer, i, h);
      if (at === 0) h = activate(b, node, h, tensorOf(node, layer.weight)!.shape[1]!);
    });
    const weight = b.op('Unsqueeze', [b.op('GatherND', [share, rows]), b.constant('int64', [1])]);
    sum = b.op('ScatterND', [sum, rows, b.op('Mul', [b.op('Cast', [h], { to: FLOAT }), weight])], { reduction: 'add' });
  }
  return b.op('Reshape', [b.op('CastLike', [sum, x]), b.op('Shape', [x])]);
}

/** What each expert's output counts for a token, (tokens, experts) in float32, 0 for those that were not chosen. */
function routing(b: GraphBuilder, node: Node, router: Value): Value {
  const logits = b.op('Cast', [router], { to: FLOAT });
  // ONNX Runtime's QMoE always makes the shares of a token's experts add up to one.
  const normalized = nameOf(node) === 'com.microsoft.QMoE' || node.int('normalize_routing_weights', 0) === 1;
  const [best, chosen] = b.nodes('TopK', [logits, b.constant('int64', [node.int('k', 1)])], { axis: -1 }, { outputCount: 2 });
  const share = normalized ? b.op('Softmax', [best!], { axis: -1 }) : b.op('GatherElements', [b.op('Softmax', [logits], { axis: -1 }), chosen!], { axis: -1 });
  const none = b.op('Expand', [b.constant('float32', 0), b.op('Shape', [logits])]);
  return b.op('ScatterElements', [none, chosen!, share], { axis: -1 });
}

const FLOAT = 1;

/** Rows (chosen, in) through a layer of one expert. */
function product(b: GraphBuilder, node: Node, layer: Layer, expert: number, rows: Value): Value {
  const own = (index: number, shape: (of: readonly number[]) => readonly number[]): Value => {
    const value = node.input(index)!;
    const [, ...rest] = value.tensor!.shape;
    return b.initializer(`${value.name}.${expert}`, lazy.reshape(lazy.slice(value.tensor!, [expert, ...rest.map(() => 0)], [1, ...rest]), shape(rest)));
  };
  const bias = node.input(layer.bias) ? own(layer.bias, (shape) => shape) : undefined;
  if (layer.scales === undefined) return b.op('Gemm', [rows, own(layer.weight, (shape) => shape), bias], { transB: 1 });
  const [bits, block] = [node.int('expert_weight_bits', 4), node.int('block_size', 0)];
  const [N, K] = [tensorOf(node, layer.weight)!.shape[1]!, packedWidth(node, layer)];
  const flat = (shape: readonly number[]): readonly number[] => [shape.reduce((count, size) => count * size, 1)];
  const [made] = b.nodes('MatMulNBits', [
    rows,
    own(layer.weight, ([outs]) => [outs!, K / block, (block * bits) / 8]),
    own(layer.scales, flat),
    ...(layer.zeros !== undefined && node.input(layer.zeros) ? [own(layer.zeros, flat)] : []),
  ], { N, K, bits, block_size: block }, { domain: 'com.microsoft' });
  return bias ? b.op('Add', [made!, bias]) : made!;
}

/** Numbers in a row of packed weights. */
function packedWidth(node: Node, { weight }: Layer): number {
  return tensorOf(node, weight)!.shape[2]! * (8 / node.int('expert_weight_bits', 4));
}

const activations: Readonly<Record<string, (b: GraphBuilder, x: Value) => Value>> = {
  relu: (b, x) => b.op('Relu', [x]),
  // The tanh form of Gelu: x · sigmoid(2 √(2/π) (x + 0.044715 x³)).
  gelu: (b, x) => {
    const inner = b.op('Add', [x, b.op('Mul', [b.op('Mul', [b.op('Mul', [x, x]), x]), like(b, 0.044715, x)])]);
    return b.op('Mul', [x, b.op('Sigmoid', [b.op('Mul', [inner, like(b, 2 * Math.sqrt(2 / Math.PI), x)])])]);
  },
  silu: (b, x) => b.op('Mul', [x, b.op('Sigmoid', [x])]),
  identity: (_, x) => x,
};

/** h: (chosen, width), where no token may have chosen the expert. Gate and value interleaved; both clamped when there is a limit. */
function activate(b: GraphBuilder, node: Node, h: Value, width: number): Value {
  const name = node.string('activation_type', 'relu');
  if (name !== 'swiglu') return activations[name]!(b, h);
  const pairs = b.op('Reshape', [h, b.constant('int64', [-1, width / 2, 2])]);
  const [gate, value] = [0, 1].map((side) => b.op('Gather', [pairs, b.constant('int64', side)], { axis: 2 })) as [Value, Value];
  const limit = node.float('swiglu_limit', Infinity);
  const [upper, both] = Number.isFinite(limit) ? [b.op('Min', [gate, like(b, limit, h)]), b.op('Min', [b.op('Max', [value, like(b, -limit, h)]), like(b, limit, h)])] : [gate, value];
  const scaled = b.op('Mul', [upper, like(b, node.float('activation_alpha', 1), h)]);
  return b.op('Mul', [b.op('Mul', [upper, b.op('Sigmoid', [scaled])]), b.op('Add', [both, like(b, node.float('activation_beta', 0), h)])]);
}

const like = (b: GraphBuilder, value: number, x: Value): Value => b.op('CastLike', [b.constant('float32', value), x]);
