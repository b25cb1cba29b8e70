/** The steps of a run: batches, gradients, updates, measurements, checkpoints. Everything it works with is handed in. */
import { isPenjingError, PenjingError } from '@penjing/core';
import { movingAverage } from '../optimizers/average.js';
import { clipByNorm, globalNorm } from '../optimizers/clip.js';
import type { Buffers, Optimizer } from '../optimizers/optimizer.js';
import { holdZeros } from '../recover/hold-zeros.js';
import type { Checkpoints, RunState, Validation } from './checkpoints.js';
import { addScaled, type LossAndGradients } from './gradient-source.js';
import { type OptimizerPlan, plannedRate } from './optimizer-plan.js';

/** When a run ends and what it does on the way, as plain data. */
export interface RunPlan {
  readonly optimizer: OptimizerPlan;
  /** Batches whose gradients are averaged for one step. */
  readonly accumulate: number;
  readonly steps: number | undefined;
  /** Seconds of training. With `steps` as well, whichever comes first. */
  readonly seconds: number | undefined;
  /** Measures after so many steps, and at the end. */
  readonly validateEvery: number;
  /** Ends after so many measurements that are no better than the best one. */
  readonly patience: number | undefined;
  /** A checkpoint after so many steps; after a minute when absent. One is made at the end, and at each measurement that is the best so far. */
  readonly checkpointEvery: number | undefined;
}

export interface LoopParts {
  readonly plan: RunPlan;
  /** Updated in place. */
  readonly weights: Buffers;
  /** Moving averages of the weights, where the plan has them: then these are what is measured and given. */
  readonly average: Buffers | undefined;
  readonly optimizerState: Buffers;
  readonly optimizer: Optimizer;
  /** The rate that the optimizer reads. */
  readonly setRate: (rate: number) => void;
  readonly start: RunState;
  /** Loss and gradients of the n-th batch of the run. */
  readonly batch: (n: number) => Promise<LossAndGradients>;
  /** Means over all who train together; undefined for one alone. */
  readonly share: ((own: LossAndGradients) => Promise<LossAndGradients>) | undefined;
  /** Undefined when there is nothing to measure on. */
  readonly validate: ((weights: Buffers) => Promise<Omit<Validation, 'step'>>) | undefined;
  readonly checkpoints: Checkpoints;
  readonly onStep: (state: RunState) => void;
  readonly stopped: () => boolean;
  /** Seconds, from any beginning. */
  readonly now: () => number;
}

export type StopReason = 'steps' | 'time' | 'patience' | 'stopped';

const CHECKPOINT_SECONDS = 60;

/**
 * Runs to the end of the plan. Throws `E_DIVERGED` for a loss or gradients that are not finite, and what the parts throw; the last checkpoint then is as it was, and the hint names
 * it. A run that is stopped leaves a checkpoint.
 */
export async function trainingLoop(parts: LoopParts): Promise<{ readonly state: RunState; readonly reason: StopReason }> {
  try {
    return await loop(parts);
  } catch (error) {
    throw withCheckpoint(error, parts.checkpoints.step);
  }
}

async function loop(parts: LoopParts): Promise<{ readonly state: RunState; readonly reason: StopReason }> {
  const { plan, weights, average, optimizerState, optimizer, checkpoints } = parts;
  const clip = plan.optimizer.clip === undefined ? undefined : clipByNorm(plan.optimizer.clip);
  const zeros = new Set(plan.optimizer.zeros);
  const hold = zeros.size === 0 ? undefined : holdZeros({ select: (name) => zeros.has(name) });
  const follow = average && movingAverage(plan.optimizer.average);
  const averages = average && new Map([...average].map(([name, buffer]) => [`average/${name}`, buffer] as const));
  const started = parts.now() - parts.start.elapsed;
  let state = { ...parts.start, losses: [...parts.start.losses], rates: [...parts.start.rates], validations: [...parts.start.validations] };
  let saved = { step: state.step, at: parts.now() };
  const save = async (best: boolean): Promise<void> => {
    await checkpoints.save({ state, weights, average, optimizer: optimizerState }, best);
    saved = { step: state.step, at: parts.now() };
  };
  const measure = async (): Promise<void> => {
    if (!parts.validate || state.validations.at(-1)?.step === state.step) return;
    const measured = await parts.validate(average ?? weights);
    const validation = { step: state.step, ...measured };
    if (!Number.isFinite(validation.loss)) throw diverged(`the loss on the validation data is ${validation.loss} after step ${state.step}`);
    const better = state.best === undefined || validation.loss < state.best.loss;
    state = { ...state, validations: [...state.validations, validation], best: better ? { step: state.step, loss: validation.loss } : state.best, worse: better ? 0 : state.worse + 1 };
    if (better) await save(true);
  };
  const end = async (reason: StopReason): Promise<{ state: RunState; reason: StopReason }> => {
    if (reason !== 'stopped') await measure();
    if (saved.step !== state.step || reason === 'stopped') await save(false);
    return { state, reason };
  };

  // What the run starts from is a result too: a training that only does harm gives it back.
  if (state.step === 0) await measure();
  for (;;) {
    state = { ...state, elapsed: parts.now() - started };
    if (state.step >= (plan.steps ?? Infinity)) return end('steps');
    if (state.elapsed >= (plan.seconds ?? Infinity)) {
      if (state.step === 0) throw new PenjingError('E_OPTION', `the ${plan.seconds} seconds of the training were over before its first step`, { hint: `Measuring took ${state.elapsed.toPrecision(2)} seconds: train for minutes, or for a number of steps.` });
      return end('time');
    }
    if (state.worse >= (plan.patience ?? Infinity)) return end('patience');
    if (parts.stopped()) return end('stopped');

    const own = await accumulated(parts, state.step);
    const { loss, gradients } = parts.share ? await parts.share(own) : own;
    if (!Number.isFinite(loss)) throw diverged(`the loss of step ${state.step + 1} is ${loss}`);
    await hold?.update(weights, gradients, new Map(), state.step);
    if (clip) await clip.update(weights, gradients, new Map(), state.step);
    else if (!Number.isFinite(globalNorm(gradients))) throw diverged(`the gradients of step ${state.step + 1} are not finite`);
    const share = Math.max(state.step / (plan.steps ?? Infinity), state.elapsed / (plan.seconds ?? Infinity));
    const rate = plannedRate(plan.optimizer, state.step, share);
    parts.setRate(rate);
    await optimizer.update(weights, gradients, optimizerState, state.step);
    if (averages) await follow?.update(weights, gradients, averages, state.step);
    state.losses.push(loss);
    state.rates.push(rate);
    state = { ...state, step: state.step + 1, elapsed: parts.now() - started };
    parts.onStep(state);
    if (state.step % plan.validateEvery === 0) await measure();
    const due = plan.checkpointEvery === undefined ? parts.now() - saved.at >= CHECKPOINT_SECONDS : state.step % plan.checkpointEvery === 0;
    if (due && saved.step !== state.step) await save(false);
  }
}

/** The mean of the gradients of a few batches. */
async function accumulated({ plan: { accumulate }, batch }: LoopParts, step: number): Promise<LossAndGradients> {
  if (accumulate === 1) return batch(step);
  const first = await batch(step * accumulate);
  let loss = first.loss / accumulate;
  const sums = new Map([...first.gradients].map(([name, gradient]) => [name, gradient.map((value) => value / accumulate)] as const));
  for (let i = 1; i < accumulate; i++) {
    const next = await batch(step * accumulate + i);
    loss += next.loss / accumulate;
    for (const [name, sum] of sums) addScaled(sum, next.gradients.get(name)!, 1 / accumulate);
  }
  return { loss, gradients: sums };
}

function diverged(what: string): PenjingError {
  return new PenjingError('E_DIVERGED', what, { hint: 'Lower the learning rate, warm it up for longer, or limit the gradients.' });
}

/** The same error, with the checkpoint to go on from in its hint. */
function withCheckpoint(error: unknown, step: number | undefined): unknown {
  if (!isPenjingError(error)) return error;
  const kept = step === undefined ? 'There is no checkpoint yet.' : `The checkpoint of step ${step} is intact.`;
  return new PenjingError(error.code, error.message, { hint: error.hint === undefined ? kept : `${error.hint} ${kept}`, cause: error.cause ?? error, details: { ...error.details, checkpoint: step } });
}
