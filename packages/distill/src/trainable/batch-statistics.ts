/** Batch normalization as training has it: by the statistics of the batch, whose running means the trained model is deployed with. */
import { attribute, type Model, Names, tensorType, Value } from '@penjing/core';

/** A running mean or variance: an input of a step that the step gives the next value of. */
export interface RunningStatistic {
  /** The initializer of the deployable model, which becomes an input here. */
  readonly name: string;
  /** The output that has its next value. */
  readonly output: string;
}

/** The output that has the next value of a running mean or variance. */
export const updatedName = (name: string): string => `updated/${name}`;

/**
 * Lets BatchNormalization nodes that read stored means and variances normalize by those of the batch, in place, and adds outputs `updated/NAME` of their next values,
 * `momentum` · old + (1 − momentum) · batch: between steps the trainer puts what an output has into the buffer of the input `NAME`. They are not among the weights that `trainableInputs`
 * detaches afterwards, since they have no gradient. The variance of the batch is the one it is normalized by, not the unbiased one that PyTorch keeps (n / (n − 1) of it). Nodes of which several share statistics, or whose statistics are not stored, stay
 * as they are.
 */
export function batchStatistics(model: Model): readonly RunningStatistic[] {
  const { graph } = model;
  const names = new Names([graph]);
  const found: RunningStatistic[] = [];
  for (const node of graph.nodes()) {
    if (node.opType !== 'BatchNormalization' || node.domain !== '' || node.int('training_mode', 0) === 1) continue;
    const stored = [node.input(3), node.input(4)];
    if (!stored.every((value) => value?.tensor && graph.initializers.has(value.name) && value.useCount === 1)) continue;
    node.truncateOutputs(1);
    node.attributes.set('training_mode', attribute.int(1));
    for (const value of stored as Value[]) {
      const { dtype, shape } = value.tensor!;
      value.type = tensorType(dtype, shape);
      value.tensor = undefined;
      graph.initializers.delete(value.name);
      graph.inputs.push(value);
      const next = new Value(names.claim(updatedName(value.name)), value.type);
      node.addOutput(next);
      graph.outputs.push(next);
      found.push({ name: value.name, output: next.name });
    }
  }
  return found;
}
