/** A linear layer: MatMul by an initializer (inputs, outputs), with an optional Add. */
import { lazy, type Tensor, type Value } from '@penjing/core';
import type { Network } from '../network.js';

export interface LinearShape {
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
  /** How the checkpoint keeps it, when not under its own name as (outputs, inputs). */
  readonly stored?: StoredLinear;
}

/** A layer that lies in a larger one, or turned. */
export interface StoredLinear {
  /** Module of the checkpoint, beside the layer. */
  readonly module: string;
  /** Outputs of that module; those of the layer when absent. */
  readonly outputs?: number;
  /** The module's outputs come in this many groups, and the layer has a part of each; 1 when absent. */
  readonly groups?: number;
  /** First output of the part in every group. */
  readonly start?: number;
  /** (inputs, outputs): the Conv1D of GPT-2. */
  readonly turned?: boolean;
}

/** (…, inputs) to (…, outputs). The plain pattern is what weight quantization looks for. */
export function linear(net: Network, name: string, x: Value, shape: LinearShape): Value {
  const weight = matrix(net, name, shape);
  const bias = shape.bias ? part(net.stored(`${moduleOf(name, shape)}.bias`, [storedOutputs(shape)]), shape) : undefined;
  return net.module(name, () => {
    const product = net.op('MatMul', [x, net.derived('weight', weight)]);
    return bias ? net.op('Add', [product, net.derived('bias', bias)]) : product;
  });
}

/** (inputs, outputs): torch keeps (outputs, inputs). */
function matrix(net: Network, name: string, shape: LinearShape): Tensor {
  const { inputs, outputs, stored } = shape;
  const full = `${moduleOf(name, shape)}.weight`;
  if (!stored?.turned) return lazy.transpose(part(net.stored(full, [storedOutputs(shape), inputs]), shape), [1, 0]);
  return lazy.slice(net.stored(full, [inputs, storedOutputs(shape)]), [0, stored.start ?? 0], [inputs, outputs]);
}

/** The rows of a stored tensor (outputs of the module, …) that belong to the layer. */
function part(tensor: Tensor, { outputs, stored = { module: '' } }: LinearShape): Tensor {
  const { groups = 1, start = 0 } = stored;
  const [all = 0, ...rest] = tensor.shape;
  if (all === outputs) return tensor;
  const grouped = lazy.reshape(tensor, [groups, all / groups, ...rest]);
  const rows = lazy.slice(grouped, [0, start, ...rest.map(() => 0)], [groups, outputs / groups, ...rest]);
  return lazy.reshape(rows, [outputs, ...rest]);
}

function moduleOf(name: string, { stored }: LinearShape): string {
  return stored?.module ?? name;
}

function storedOutputs({ outputs, stored }: LinearShape): number {
  return stored?.outputs ?? outputs;
}
