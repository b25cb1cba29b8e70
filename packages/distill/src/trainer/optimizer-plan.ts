/** An optimizer as plain data, so that it can be sent to a job, hashed and written into a recipe. */
import type { Shape } from '@penjing/core';
import { adamW } from '../optimizers/adam-w.js';
import { lion } from '../optimizers/lion.js';
import type { Buffers, Optimizer } from '../optimizers/optimizer.js';
import { sgd } from '../optimizers/sgd.js';
import { type GridConstraint, onGrids } from '../recover/on-grids.js';

export interface OptimizerPlan {
  /** `adamw` when absent. */
  readonly name?: keyof typeof kinds;
  /** The highest rate. */
  readonly rate: number;
  readonly schedule?: SchedulePlan | undefined;
  /** Of matrices and kernels; vectors (norms, biases) do not decay. 0 when absent. */
  readonly weightDecay?: number | undefined;
  /** Weights whose zeros stay zeros, by name. */
  readonly zeros?: readonly string[] | undefined;
  /** Weights that lie on integer grids after every step, with step sizes that are trained; see `openGrids`. */
  readonly grids?: readonly GridConstraint[] | undefined;
  /** Limit of the norm of all gradients together; none when absent. */
  readonly clip?: number | undefined;
  /** Memory of Adam and Lion. */
  readonly betas?: readonly [number, number] | undefined;
  /** Of sgd. */
  readonly momentum?: number | undefined;
  /** Keeps a moving average of the weights with this memory, and validates and gives that. */
  readonly average?: number | undefined;
}

export interface SchedulePlan {
  /** `cosine` when absent. */
  readonly name?: keyof typeof shapes;
  /** Steps in which the rate rises from 0, evenly; 0 when absent. */
  readonly warmup?: number;
  /** The last rate, as a share of the highest; 0 when absent. */
  readonly end?: number;
}

const kinds = {
  adamw: ({ betas }, rate, weightDecay) => adamW({ rate, weightDecay, ...(betas && { betas }) }),
  sgd: ({ momentum }, rate, weightDecay) => sgd({ rate, weightDecay, ...(momentum !== undefined && { momentum }) }),
  lion: ({ betas }, rate, weightDecay) => lion({ rate, weightDecay, ...(betas && { betas }) }),
} as const satisfies Record<string, (plan: OptimizerPlan, rate: () => number, weightDecay: number) => Optimizer>;

/** What is left of the highest rate after a share of the way. */
const shapes = {
  cosine: (share) => 0.5 * (1 + Math.cos(Math.PI * share)),
  linear: (share) => 1 - share,
  constant: () => 1,
} as const satisfies Record<string, (share: number) => number>;

export const optimizerNames: readonly (keyof typeof kinds)[] = ['adamw', 'sgd', 'lion'];
export const scheduleNames: readonly (keyof typeof shapes)[] = ['cosine', 'linear', 'constant'];

/** The rate of a step, counted from 0, when a share of the way is behind it: of the steps, or of the time. */
export function plannedRate({ rate, schedule = { name: 'constant' } }: OptimizerPlan, step: number, share: number): number {
  const { name = 'cosine', warmup = 0, end = 0 } = schedule;
  if (step < warmup) return (rate * (step + 1)) / warmup;
  return rate * (end + (1 - end) * shapes[name](Math.min(1, Math.max(0, share))));
}

/** The optimizer of a plan for weights of these shapes, with the rate of the moment. */
export function plannedOptimizer(plan: OptimizerPlan, shapesOf: ReadonlyMap<string, Shape>, rate: () => number): Optimizer {
  const { name = 'adamw', weightDecay = 0 } = plan;
  const isMatrix = (weight: string): boolean => (shapesOf.get(weight)?.length ?? 0) > 1;
  const groups = [
    { takes: isMatrix, optimizer: kinds[name](plan, rate, weightDecay) },
    { takes: (weight: string) => !isMatrix(weight), optimizer: kinds[name](plan, rate, 0) },
  ];
  const optimizer: Optimizer = {
    init: (weights) => new Map(groups.flatMap(({ takes, optimizer }) => [...optimizer.init(some(weights, takes))])),
    update(weights, gradients, state, step) {
      for (const { takes, optimizer } of groups) optimizer.update(some(weights, takes), gradients, state, step);
    },
  };
  return plan.grids?.length ? onGrids(optimizer, plan.grids) : optimizer;
}

function some(buffers: Buffers, takes: (name: string) => boolean): Buffers {
  return new Map([...buffers].filter(([name]) => takes(name)));
}
