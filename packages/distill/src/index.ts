/** @penjing/distill: the vocabulary of training ONNX graphs; gradients and the trainer come with their release. */

/** Weights, gradients and optimizer state in buffers that the trainer owns and updates in place. */
export type Buffers = ReadonlyMap<string, Float32Array>;

/**
 * An optimizer as a pair of functions: `init` makes the state for the weights, `update` changes weights and state in
 * place, once per step, with the gradients of the same names and shapes.
 */
export interface Optimizer<State = unknown> {
  init(weights: Buffers): State;
  update(weights: Buffers, gradients: Buffers, state: State, step: number): void;
}

/** Learning rate by step, from 0. */
export type Schedule = (step: number) => number;

export { type DifferentiateOptions, differentiate, gradientName, missingGradients } from './gradient/differentiate.js';
export { type TrainableOptions, trainableInputs } from './trainable-inputs.js';
