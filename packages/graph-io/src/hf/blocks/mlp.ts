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

export interface GatedMlpNames {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

const llamaNames: GatedMlpNames = { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' };

export interface GatedMlpShape extends MlpShape {
  /** Of the three projections, where they are not `gate_proj`, `up_proj` and `down_proj`. */
  readonly names?: Partial<GatedMlpNames>;
  /** Module that holds gate and up projection in one, in this order. */
  readonly fused?: string;
}

/** down(act(gate(x)) * up(x)), (batch, seq, hidden). */
export function gatedMlp(net: Network, name: string, x: Value, shape: GatedMlpShape): Value {
  const { hidden, intermediate, activation, bias, fused } = shape;
  const names = { ...llamaNames, ...shape.names };
  return net.module(name, () => {
    const wider = { inputs: hidden, outputs: intermediate, bias };
    const stored = (start: number) => (fused === undefined ? {} : { stored: { module: fused, outputs: 2 * intermediate, start } });
    const gate = linear(net, names.gate, x, { ...wider, ...stored(0) });
    const up = linear(net, names.up, x, { ...wider, ...stored(intermediate) });
    const gated = net.op('Mul', [net.module('act_fn', () => activations[activation](net, gate)), up]);
    return linear(net, names.down, gated, { inputs: intermediate, outputs: hidden, bias });
  });
}

export interface PlainMlpShape extends MlpShape {
  /** Names of the two layers. */
  readonly names: readonly [string, string];
  /** Stored as (inputs, outputs). */
  readonly turned?: boolean;
}

/** second(act(first(x))), in the module of the caller; (batch, seq, hidden). */
export function plainMlp(net: Network, x: Value, shape: PlainMlpShape): Value {
  const { hidden, intermediate, activation, bias, names: [first, second], turned = false } = shape;
  const stored = (module: string) => (turned ? { stored: { module, turned } } : {});
  const wide = linear(net, first, x, { inputs: hidden, outputs: intermediate, bias, ...stored(first) });
  const active = net.module('act', () => activations[activation](net, wide));
  return linear(net, second, active, { inputs: intermediate, outputs: hidden, bias, ...stored(second) });
}
