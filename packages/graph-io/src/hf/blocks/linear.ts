/** A linear layer: MatMul by an initializer (inputs, outputs), with an optional Add. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';

export interface LinearShape {
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
}

/** (…, inputs) to (…, outputs). The plain pattern is what weight quantization looks for. */
export function linear(net: Network, name: string, x: Value, { inputs, outputs, bias }: LinearShape): Value {
  return net.module(name, () => {
    const product = net.op('MatMul', [x, net.matrix('weight', inputs, outputs)]);
    return bias ? net.op('Add', [product, net.weight('bias', [outputs])]) : product;
  });
}
