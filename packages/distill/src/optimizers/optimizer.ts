/** The contract of optimizers: pairs of functions over buffers that the trainer owns. */

/** Weights, gradients and optimizer state by name, updated in place. */
export type Buffers = ReadonlyMap<string, Float32Array>;

/**
 * `init` makes the state for weights, `update` is called once per step, counted from 0, with gradients of the same names and shapes. What changes weights is an optimizer; what
 * changes gradients before one, or looks at weights after it, has the same form: see `chain`.
 */
export interface Optimizer {
  /** Buffers of the state, which a checkpoint holds beside the weights. */
  init(weights: Buffers): Buffers;
  /** One that has an engine multiply gives a promise, and is to be waited for; the others are done when they return. */
  update(weights: Buffers, gradients: Buffers, state: Buffers, step: number): void | Promise<void>;
}

/** Learning rate by step, from 0. */
export type Schedule = (step: number) => number;

/** A number is a rate that stays. */
export const rateAt = (rate: number | Schedule, step: number): number => (typeof rate === 'number' ? rate : rate(step));

/** Zeros like the weights, `KIND/NAME` each. */
export function zeros(weights: Buffers, ...kinds: readonly string[]): Map<string, Float32Array> {
  return new Map(kinds.flatMap((kind) => [...weights].map(([name, { length }]) => [`${kind}/${name}`, new Float32Array(length)] as const)));
}

/** Calls `visit` with each weight that has a gradient. */
export function eachWeight(weights: Buffers, gradients: Buffers, visit: (name: string, weight: Float32Array, gradient: Float32Array) => void): void {
  for (const [name, weight] of weights) {
    const gradient = gradients.get(name);
    if (gradient) visit(name, weight, gradient);
  }
}
