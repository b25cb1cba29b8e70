/** Activation functions with something around them. */
import { attribute, type AttributeInput, type Value } from '@penjing/core';
import type { Decomposition, DecompositionContext } from '../decomposition.js';

const CONTRIB = { domain: 'com.microsoft' };

export const biasGelu: Decomposition = (c) => [c.ops.op('Gelu', [c.ops.add(c.input(0), c.input(1))], {}, CONTRIB)];

export const biasAdd: Decomposition = (c) => [c.ops.add(c.ops.add(c.input(0), c.input(1)), c.input(2))];

/** a σ(α a) b, of ai.onnx. */
export const swiGlu: Decomposition = (c) => {
  const { ops } = c;
  const gate = ops.mul(c.input(0), ops.op('Sigmoid', [ops.scale(c.input(0), c.node.float('alpha', 1))]));
  return [ops.mul(gate, c.input(1))];
};

/** Activations of FusedConv and FusedGemm by name, with their parameters in order. */
const activations: Readonly<Record<string, (c: DecompositionContext, x: Value, parameters: readonly number[]) => Value>> = {
  Relu: (c, x) => c.ops.op('Relu', [x]),
  Sigmoid: (c, x) => c.ops.op('Sigmoid', [x]),
  Tanh: (c, x) => c.ops.op('Tanh', [x]),
  LeakyRelu: (c, x, [alpha]) => c.ops.op('LeakyRelu', [x], { alpha: attribute.float(alpha ?? c.node.float('activation_alpha', 0.01)) }),
  Clip: (c, x, [low, high]) => c.ops.op('Clip', [x, low === undefined ? null : c.ops.scalar(low, x), high === undefined ? null : c.ops.scalar(high, x)]),
  HardSigmoid: (c, x, [alpha = 0.2, beta = 0.5]) => c.ops.op('HardSigmoid', [x], { alpha: attribute.float(alpha), beta: attribute.float(beta) }),
};

function activated(c: DecompositionContext, x: Value): Value {
  const name = c.node.string('activation', '');
  const activation = activations[name];
  if (name === '') return x;
  if (!activation) throw c.unsupported(`the activation ${name}`);
  return activation(c, x, c.node.floats('activation_params') ?? []);
}

/** The node without what is fused to it. */
const plain = (c: DecompositionContext, dropped: RegExp): Record<string, AttributeInput> => Object.fromEntries([...c.node.attributes].filter(([name]) => !dropped.test(name)));

export const fusedConv: Decomposition = (c) => {
  const product = c.ops.op('Conv', [c.input(0), c.input(1), c.optional(2)], plain(c, /^activation/));
  return [activated(c, c.optional(3) ? c.ops.add(product, c.input(3)) : product)];
};

export const fusedGemm: Decomposition = (c) => [activated(c, c.ops.op('Gemm', [c.input(0), c.input(1), c.optional(2)], plain(c, /^(activation|leaky_relu)/)))];
