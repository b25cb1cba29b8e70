/** Weights that are to be trained, as inputs of the graph. */
import { DenseTensor, dtypes, type Model, type Tensor, toDense } from '@penjing/core';

export interface TrainableOptions {
  /** Which weights are trained; every floating-point initializer of rank ≥ 1 that is no constant of the graph when absent. */
  readonly select?: ((name: string) => boolean) | undefined;
}

/**
 * Turns trainable initializers into inputs of the same name, in place, and gives their values: buffers that the trainer owns, feeds to every step and updates
 * between steps. Weights that are not selected stay initializers, which an engine may pre-pack.
 */
export async function trainableInputs(model: Model, options: TrainableOptions = {}): Promise<Map<string, DenseTensor>> {
  const weights = new Map<string, DenseTensor>();
  for (const [name, tensor] of detachWeights(model, options)) {
    const dense = await toDense(tensor);
    // A buffer of its own: updates are in place, and the file or another weight may share these bytes.
    weights.set(name, new DenseTensor(dense.dtype, dense.shape, dense.bytes.slice()));
  }
  return weights;
}

/** The same without reading them. */
export function detachWeights(model: Model, { select = isWeight }: TrainableOptions = {}): Map<string, Tensor> {
  const { graph } = model;
  const weights = new Map<string, Tensor>();
  for (const [name, value] of [...graph.initializers]) {
    const { tensor } = value;
    if (!tensor || !isTrainable(name, tensor, select)) continue;
    weights.set(name, tensor);
    value.type = { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape };
    value.tensor = undefined;
    graph.initializers.delete(name);
    if (!graph.inputs.includes(value)) graph.inputs.push(value);
  }
  return weights;
}

/** Whether a stored tensor is one that `select` may choose and does. */
export function isTrainable(name: string, tensor: Tensor, select = isWeight): boolean {
  return tensor.kind !== 'sparse' && dtypes[tensor.dtype].kind === 'float' && tensor.shape.length > 0 && select(name);
}

/** Constants that converters and passes make are called so, with another number where the name was taken; what a checkpoint names is a weight. */
const isWeight = (name: string): boolean => !/^constant_\d+(_\d+)?$/.test(name);
