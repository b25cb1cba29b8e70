/** Activation functions by the names of `hidden_act`. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';

type Activation = (net: Network, x: Value) => Value;

const silu: Activation = (net, x) => net.op('Mul', [x, net.op('Sigmoid', [x])]);

/** x/2 · (1 + erf(x/√2)). */
const gelu: Activation = (net, x) => {
  if (net.opset >= 20) return net.op('Gelu', [x]);
  const erf = net.op('Erf', [net.op('Div', [x, net.scalar(Math.SQRT2)])]);
  return net.op('Mul', [net.op('Mul', [x, net.op('Add', [erf, net.scalar(1)])]), net.scalar(0.5)]);
};

/** x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))). */
const geluTanh: Activation = (net, x) => {
  if (net.opset >= 20) return net.op('Gelu', [x], { approximate: 'tanh' });
  const cube = net.op('Mul', [net.op('Mul', [x, x]), x]);
  const inner = net.op('Add', [x, net.op('Mul', [cube, net.scalar(0.044715)])]);
  const tanh = net.op('Tanh', [net.op('Mul', [inner, net.scalar(Math.sqrt(2 / Math.PI))])]);
  return net.op('Mul', [net.op('Mul', [x, net.op('Add', [tanh, net.scalar(1)])]), net.scalar(0.5)]);
};

export const activations = {
  silu,
  swish: silu,
  gelu,
  gelu_new: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  quick_gelu: (net, x) => net.op('Mul', [x, net.op('Sigmoid', [net.op('Mul', [x, net.scalar(1.702)])])]),
  relu: (net, x) => net.op('Relu', [x]),
  tanh: (net, x) => net.op('Tanh', [x]),
} as const satisfies Record<string, Activation>;

export type ActivationName = keyof typeof activations;

/** cap · tanh(x / cap), float32. */
export function softcap(net: Network, x: Value, cap: number): Value {
  return net.op('Mul', [net.op('Tanh', [net.op('Div', [x, net.float32(cap)])]), net.float32(cap)]);
}
