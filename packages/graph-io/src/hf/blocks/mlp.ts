/** Feed-forward layers. */
import type { Value } from '@penjing/core';
import type { Network } from '../network.js';
import { type ActivationName, activations } from './activation.js';
import { linear } from './linear.js';

export interface MlpShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly activation: ActivationName;
  readonly bias: boolean;
}

/** down(act(gate(x)) * up(x)), (batch, seq, hidden). */
export function gatedMlp(net: Network, name: string, x: Value, shape: MlpShape): Value {
  const { hidden, intermediate, activation, bias } = shape;
  return net.module(name, () => {
    const wider = { inputs: hidden, outputs: intermediate, bias };
    const gate = linear(net, 'gate_proj', x, wider);
    const up = linear(net, 'up_proj', x, wider);
    const gated = net.op('Mul', [net.module('act_fn', () => activations[activation](net, gate)), up]);
    return linear(net, 'down_proj', gated, { inputs: intermediate, outputs: hidden, bias });
  });
}
