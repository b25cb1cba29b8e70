/** BatchNormalization, Mul, Div, Add and Sub by constants after a convolution or a matrix product go into its weights. */
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import type { Tensor } from '../../tensor.js';
import { batchNorm, type ChannelAffine, float32Of, float32Tensor, isFinite32, isFloat32, perChannel, scaleWeight } from '../arithmetic.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** A node that multiplies by a weight whose output channels are one axis of it. */
interface Linear {
  readonly node: Node;
  readonly weight: Tensor;
  /** Axis of the weight that the output channels are, and how each index of it repeats over groups. */
  readonly axis: number;
  readonly groups: number;
  readonly channels: number;
  /** Axis of the output that the channels are; negative counts from the end. */
  readonly outAxis: number;
  /** Input that holds the bias; undefined when the operator has none. */
  readonly bias: number | undefined;
  /** Numbers by which the product and the bias are multiplied (Gemm). */
  readonly alpha: number;
  readonly beta: number;
}

const finders: Readonly<Record<string, (node: Node, c: Rewriter) => Linear | undefined>> = {
  Conv(node, c) {
    const weight = c.weight(node.input(1));
    if (!weight) return undefined;
    return { node, weight, axis: 0, groups: 1, channels: weight.shape[0] ?? 0, outAxis: 1, bias: 2, alpha: 1, beta: 1 };
  },
  ConvTranspose(node, c) {
    const weight = c.weight(node.input(1));
    if (!weight) return undefined;
    const groups = node.int('group', 1);
    return { node, weight, axis: 1, groups, channels: (weight.shape[1] ?? 0) * groups, outAxis: 1, bias: 2, alpha: 1, beta: 1 };
  },
  Gemm(node, c) {
    const weight = c.weight(node.input(1));
    if (weight?.shape.length !== 2) return undefined;
    const axis = node.int('transB', 0) === 1 ? 0 : 1;
    return { node, weight, axis, groups: 1, channels: weight.shape[axis]!, outAxis: 1, bias: 2, alpha: node.float('alpha', 1), beta: node.float('beta', 1) };
  },
  MatMul(node, c) {
    const weight = c.weight(node.input(1));
    if (weight?.shape.length !== 2) return undefined;
    return { node, weight, axis: 1, groups: 1, channels: weight.shape[1]!, outAxis: -1, bias: undefined, alpha: 1, beta: 1 };
  },
};

/** The operator that `node` reads as input `index`, when nothing else does. */
function linearBefore(node: Node, index: number, c: Rewriter): Linear | undefined {
  const value = node.input(index);
  const producer = c.producer(value, ...Object.keys(finders));
  if (!producer || !value || !c.isPrivate(value) || producer.graph !== node.graph) return undefined;
  const found = finders[producer.opType]!(producer, c);
  // A weight that others read would be stored twice, and a per-group factor has no place in a weight that groups share.
  const weightValue = producer.input(1)!;
  if (!found || !isFloat32(found.weight) || (found.weight.kind !== 'dense' && found.weight.kind !== 'lazy') || c.isOutput(weightValue)) return undefined;
  return found;
}

/** What a node does to each channel of its input, and which input that is. */
function affineOf(node: Node, c: Rewriter): { linear: Linear; affine: ChannelAffine } | undefined {
  if (node.opType === 'BatchNormalization') {
    const linear = linearBefore(node, 0, c);
    // A product of rank 3 and more has its channels last, normalization second.
    const aligned = linear && (linear.outAxis === 1 || c.shape(node.input(0))?.length === 2);
    if (!aligned || node.int('training_mode', 0) === 1 || !c.onlyFirstOutput(node)) return undefined;
    const affine = batchNorm(node.inputs.slice(1), node.float('epsilon', 1e-5), linear.channels, c);
    return affine && { linear, affine };
  }
  for (const index of [0, 1]) {
    const linear = linearBefore(node, index, c);
    const rank = c.shape(node.input(index))?.length;
    if (!linear || rank === undefined) continue;
    const axis = linear.outAxis < 0 ? rank + linear.outAxis : linear.outAxis;
    const operand = perChannel(node.input(1 - index), rank, axis, linear.channels, c);
    const affine = operand && elementwise(node.opType, index, operand);
    if (affine) return { linear, affine };
  }
  return undefined;
}

function elementwise(opType: string, index: number, operand: readonly number[]): ChannelAffine | undefined {
  const zeros = operand.map(() => 0);
  const ones = operand.map(() => 1);
  switch (opType) {
    case 'Mul': return { scale: operand, shift: zeros };
    case 'Add': return { scale: ones, shift: operand };
    case 'Div': return index === 0 ? { scale: operand.map((x) => 1 / x), shift: zeros } : undefined;
    case 'Sub': return index === 0 ? { scale: ones, shift: operand.map((x) => -x) } : { scale: operand.map(() => -1), shift: operand };
    default: return undefined;
  }
}

export const foldScale: Rule = {
  name: 'fold-scale',
  phase: 'merge',
  stores: true,
  ops: ['BatchNormalization', 'Mul', 'Div', 'Add', 'Sub'],
  apply(node, c) {
    const found = affineOf(node, c);
    if (!found) return false;
    const { linear, affine: { scale, shift } } = found;
    const { node: product, weight, bias, alpha, beta, channels } = linear;
    if (!isFinite32(scale) || !isFinite32(shift)) return false;
    const scaled = scale.some((x) => x !== 1);
    const biasValue = bias === undefined ? undefined : product.input(bias);
    const needsBias = shift.some((x) => x !== 0);
    if (bias === undefined && needsBias) return false;
    const old = biasValue ? biasOf(biasValue, channels, linear, c) : new Array<number>(channels).fill(0);
    if (!old || (bias !== undefined && product.opType === 'Gemm' && c.opset < 7)) return false;
    const factor = linear.groups === 1 ? scale : groupFactor(scale, linear.groups);
    const weightValue = product.input(1)!;
    if (scaled && (!factor || (weightValue.useCount > 1 && !c.allowGrowth))) return false;

    if (scaled) replaceWeight(product, 1, scaleWeight(weight, linear.axis, factor!), 'fold scale', c);
    if (bias !== undefined && (needsBias || (biasValue && scaled))) {
      // alpha·(x·W)·scale + beta·b' = (alpha·(x·W) + beta·b)·scale + shift
      const made = old.map((b, i) => (beta * b * scale[i]! + shift[i]!) / (biasValue ? beta : 1));
      product.setInput(bias, c.addConstant(product, float32Tensor([channels], made), `${product.output(0).name}/bias`));
      if (!biasValue && product.opType === 'Gemm') product.attributes.delete('beta');
    }
    void alpha;
    return c.bypass(node, product.output(0));
  },
};

/** A bias as one number per channel; one that every channel shares is spread. */
function biasOf(value: Value, channels: number, linear: Linear, c: Rewriter): number[] | undefined {
  if (linear.node.opType === 'Gemm') return linear.beta === 0 ? undefined : perChannel(value, 2, 1, channels, c);
  const numbers = float32Of(value, c);
  return numbers?.length === channels ? numbers : undefined;
}

/** A factor that is the same in every group, per index of the weight's axis. */
function groupFactor(scale: readonly number[], groups: number): readonly number[] | undefined {
  const size = scale.length / groups;
  return scale.every((x, i) => x === scale[i % size]) ? scale.slice(0, size) : undefined;
}

function replaceWeight(node: Node, index: number, tensor: Tensor, method: string, c: Rewriter): void {
  const old = node.input(index)!;
  c.record(old, method, c.weight(old)!, tensor);
  node.setInput(index, c.addConstant(node, tensor, `${old.name}/folded`));
}
