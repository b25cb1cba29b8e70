/** Normalization layers, in standard operators. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';

/**
 * x / sqrt(mean(x²) + eps) * weight, (…, width). Written out because SimplifiedLayerNormalization is not in the ONNX
 * standard; ONNX Runtime fuses exactly this pattern into it when it loads the model.
 */
export function rmsNorm(net: Network, name: string, x: Value, width: number, epsilon: number): Value {
  return net.module(name, () => {
    const wide = net.widen(x);
    const square = net.op('Pow', [wide, net.float32(2)]);
    const mean = net.op('ReduceMean', [square, net.ints([-1])], { keepdims: 1 });
    const root = net.op('Sqrt', [net.op('Add', [mean, net.float32(epsilon)])]);
    const unit = net.narrow(net.op('Div', [wide, root]));
    return net.op('Mul', [unit, net.weight('weight', [width])]);
  });
}
