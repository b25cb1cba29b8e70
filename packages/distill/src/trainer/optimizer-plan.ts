/** An optimizer as plain data, so that it can be sent to a job, hashed and written into a recipe. */
import type { Shape } from '@penjing/core';
import { adamW } from '../optimizers/adam-w.js';
import { lion } from '../optimizers/lion.js';
import { type MatrixForm, muon } from '../optimizers/muon.js';
import type { Orthogonalizer } from '../optimizers/newton-schulz.js';
import type { Buffers, Optimizer } from '../optimizers/optimizer.js';
import { sgd } from '../optimizers/sgd.js';
import { type GridConstraint, onGrids } from '../recover/on-grids.js';

export interface OptimizerPlan {
  /** `adamw` when absent. */
  readonly name?: keyof typeof kinds;
  /** The highest rate. */
  readonly rate: number;
  /** With muon, the highest rate of AdamW, which trains all but the matrices of hidden layers; 0.15 of `rate` when absent. */
  readonly adamwRate?: number | undefined;
  readonly schedule?: SchedulePlan | undefined;
  /** Of matrices and kernels; vectors (norms, biases) do not decay. 0 when absent. */
  readonly weightDecay?: number | undefined;
  /** Weights whose zeros stay zeros, by name. */
  readonly zeros?: readonly string[] | undefined;
  /** Weights that lie on integer grids after every step, with step sizes that are trained; see `openGrids`. */
  readonly grids?: readonly GridConstraint[] | undefined;
  /** Limit of the norm of all gradients together; none when absent. */
  readonly clip?: number | undefined;
  /** Memory of AdamW (beside muon too) and Lion. */
  readonly betas?: readonly [number, number] | undefined;
  /** Of sgd (none when absent) and muon (0.95). */
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

/** Jordan's speed runs train hidden matrices with 0.02; a Llama of 4 million parameters takes 3e-3 for its embedding beside it. */
const MUON_TO_ADAMW = 0.15;

const kinds = {
  adamw: ({ betas }, rate, weightDecay) => adamW({ rate, weightDecay, ...(betas && { betas }) }),
  sgd: ({ momentum }, rate, weightDecay) => sgd({ rate, weightDecay, ...(momentum !== undefined && { momentum }) }),
  lion: ({ betas }, rate, weightDecay) => lion({ rate, weightDecay, ...(betas && { betas }) }),
  /** Of what is no matrix of a hidden layer. */
  muon: ({ betas, rate: highest, adamwRate = MUON_TO_ADAMW * highest }, rate, weightDecay) => adamW({ rate: () => rate() * (adamwRate / highest), weightDecay, ...(betas && { betas }) }),
} as const satisfies Record<string, (plan: OptimizerPlan, rate: () => number, weightDecay: number) => Optimizer>;

/** What is left of the highest rate after a share of the way. */
const shapes = {
  cosine: (share) => 0.5 * (1 + Math.cos(Math.PI * share)),
  linear: (share) => 1 - share,
  constant: () => 1,
} as const satisfies Record<string, (share: number) => number>;

export const optimizerNames: readonly (keyof typeof kinds)[] = ['adamw', 'sgd', 'lion', 'muon'];
export const scheduleNames: readonly (keyof typeof shapes)[] = ['cosine', 'linear', 'constant'];

/** The rate of a step, counted from 0, when a share of the way is behind it: of the steps, or of the time. */
export function plannedRate({ rate, schedule = { name: 'constant' } }: OptimizerPlan, step: number, share: number): number {
  const { name = 'cosine', warmup = 0, end = 0 } = schedule;
  if (step < warmup) return (rate * (step + 1)) / warmup;
  return rate * (end + (1 - end) * shapes[name](Math.min(1, Math.max(0, share))));
}

/** What muon needs. */
export interface MuonTools {
  /** Those of hidden layers. */
  readonly matrices: readonly MatrixForm[];
  readonly orthogonalizer: Orthogonalizer;
}

/** The optimizer of a plan for weights of these shapes, with the rate of the moment. */
export function plannedOptimizer(plan: OptimizerPlan, shapesOf: ReadonlyMap<string, Shape>, rate: () => number, tools: MuonTools): Optimizer {
  const { name = 'adamw', weightDecay = 0, momentum } = plan;
  const hidden = name === 'muon' ? hiddenOf(plan, tools.matrices) : [];
  const isHidden = namesOf(hidden);
  const isMatrix = (weight: string): boolean => (shapesOf.get(weight)?.length ?? 0) > 1;
  const groups = [
    { takes: isHidden, optimizer: muon({ rate, weightDecay, ...tools, matrices: hidden, ...(momentum !== undefined && { momentum }) }) },
    { takes: (weight: string) => isMatrix(weight) && !isHidden(weight), optimizer: kinds[name](plan, rate, weightDecay) },
    { takes: (weight: string) => !isMatrix(weight), optimizer: kinds[name](plan, rate, 0) },
  ];
  const optimizer: Optimizer = {
    init: (weights) => new Map(groups.flatMap(({ takes, optimizer }) => [...optimizer.init(some(weights, takes))])),
    async update(weights, gradients, state, step) {
      for (const { takes, optimizer } of groups) await optimizer.update(some(weights, takes), gradients, state, step);
    },
  };
  return plan.grids?.length ? onGrids(optimizer, plan.grids) : optimizer;
}

/** A step of muon has no zeros: weights whose zeros stay are left to AdamW. */
function hiddenOf({ zeros = [] }: OptimizerPlan, matrices: readonly MatrixForm[]): MatrixForm[] {
  const pruned = new Set(zeros);
  return matrices.filter(({ name }) => !pruned.has(name));
}

function namesOf(matrices: readonly MatrixForm[]): (name: string) => boolean {
  const names = new Set(matrices.map(({ name }) => name));
  return (name) => names.has(name);
}

function some(buffers: Buffers, takes: (name: string) => boolean): Buffers {
  return new Map([...buffers].filter(([name]) => takes(name)));
}
