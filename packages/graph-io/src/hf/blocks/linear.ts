/** A linear layer: a product with a matrix of the checkpoint, and an optional Add. */
import { lazy, type Tensor, type Value } from '@penjing/core';
import type { Network } from '../network.js';
import { type Matrix, matrixOf, product } from './matrix.js';
import { packedMatrix } from './packed-matrix.js';

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

/** (…, inputs) to (…, outputs). */
export function linear(net: Network, name: string, x: Value, shape: LinearShape): Value {
  const module = moduleOf(name, shape);
  const packed = net.packed(module, shape.inputs, storedOutputs(shape));
  const weight = packed ? packedMatrix(net, packed, (tensor) => part(tensor, shape)) : matrix(net, name, shape);
  // some quantizers add biases, of zeros, to all layers
  const hasBias = shape.bias || (packed !== undefined && net.has(`${module}.bias`));
  const bias = hasBias ? part(net.stored(`${module}.bias`, [storedOutputs(shape)]), shape) : undefined;
  return net.module(name, () => {
    const y = product(net, packed?.order ? net.reordered(x, packed.order) : x, weight);
    return bias ? net.op('Add', [y, net.derived('bias', bias)]) : y;
  });
}

function matrix(net: Network, name: string, shape: LinearShape): Matrix {
  const { inputs, outputs, stored } = shape;
  const full = `${moduleOf(name, shape)}.weight`;
  if (!stored?.turned) return matrixOf(net, part(net.raw(full, [storedOutputs(shape), inputs]), shape));
  const turned = lazy.transpose(net.raw(full, [inputs, storedOutputs(shape)]), [1, 0]);
  return matrixOf(net, lazy.slice(turned, [stored.start ?? 0, 0], [outputs, inputs]));
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
