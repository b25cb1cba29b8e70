/** Trains a model: its loss is added and differentiated, a job runs the steps, and the trained weights take the place of the old ones. */
import { type JobHost, type Model, PenjingError, type Shape, type ShelfReference, type TaskOptions, type WeightRecord } from '@penjing/core';
import { crossEntropy } from '../losses/cross-entropy.js';
import type { Loss } from '../losses/loss.js';
import { hiddenMatrices } from '../optimizers/hidden-matrices.js';
import type { RunState } from './checkpoints.js';
import { type Dataset, sampleCount } from './dataset.js';
import { initialWeights } from './initial-weights.js';
import type { GradientExchange } from './gradient-exchange.js';
import { serveExchange } from './exchange-port.js';
import type { OptimizerPlan } from './optimizer-plan.js';
import type { TeacherOutputs } from './teacher.js';
import { askTogether } from './teacher-job.js';
import { type PairMetrics, trainJob } from './train-job.js';
import { evaluationGraph, trainingGraph } from './training-graph.js';
import type { StopReason } from './training-loop.js';

export interface TrainOptions extends TaskOptions {
  readonly jobs: JobHost;
  readonly data: Dataset;
  /** Measured on every `validateEvery` steps and at the end; the weights of the best measurement are the result. */
  readonly validation?: Dataset | undefined;
  /** Cross-entropy of `logits` and `labels` when absent. */
  readonly loss?: Loss | undefined;
  /** What is measured on the validation data; `loss` when absent. */
  readonly validationLoss?: Loss | undefined;
  /** Scalars to be measured beside it, by name. */
  readonly metrics?: Readonly<Record<string, Loss>> | undefined;
  /** Measures embeddings of pairs over the whole validation data too: see `PairMetrics`. */
  readonly pairs?: PairMetrics | undefined;
  /** Which weights are trained, by name; all that the loss depends on when absent. */
  readonly select?: ((name: string) => boolean) | undefined;
  /**
   * What batch normalization goes by in steps: `stored` statistics, which stay as they are, or those of the `batch`, which move the stored ones; measurements go by the stored ones. `stored` when absent: what a
   * trained network is tuned with. From scratch, and wherever batches are large, `batch`.
   */
  readonly statistics?: 'stored' | 'batch' | undefined;
  readonly optimizer: OptimizerPlan;
  /** Samples of a batch. */
  readonly batch: number;
  /** Batches whose gradients are averaged for one step; 1 when absent. */
  readonly accumulate?: number | undefined;
  /**
   * Engines that share each batch evenly and average their gradients, each in a thread of its own with its share of the threads; 1 when absent. Equal to one engine up to rounding where the loss is a mean over
   * samples; batch normalization by statistics of the batch goes by those of each part.
   */
  readonly engines?: number | undefined;
  /**
   * Other processes that train the same weights: each computes its share of every batch, with its own engines, and all take the same steps, to the same bits. Rank 0 says where the run begins (its checkpoint), what the
   * time is and what is measured; whoever stops, stops all.
   */
  readonly exchange?: GradientExchange | undefined;
  /** Computes what lies between the blocks of the model once more for its gradients instead of holding it: less memory, about a third more time. */
  readonly recompute?: boolean | undefined;
  /** At least one of the three ends the run. */
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
  readonly minutes?: number | undefined;
  /** Steps; a twentieth of the run, or 100, when absent. */
  readonly validateEvery?: number | undefined;
  /** Ends the run after so many measurements that were no better. */
  readonly patience?: number | undefined;
  /** Steps; a minute when absent. */
  readonly checkpointEvery?: number | undefined;
  /** Models that are run on each batch; the mean of their outputs fills inputs of the loss. */
  readonly teacher?: { readonly models: readonly Model[]; readonly outputs: TeacherOutputs; readonly cache?: ShelfReference | undefined } | undefined;
  /** Share of what is added to residual streams, and of embeddings, that each step drops by a mask of its own; measurements drop nothing. None when absent. */
  readonly dropout?: number | undefined;
  /** Begins with random weights: matrices normal with this deviation, the rest as `initialWeights` says. */
  readonly scratch?: { readonly std: number } | undefined;
  /** Where checkpoints lie, for a run that goes on later; a shelf of the run when absent. */
  readonly checkpoints?: ShelfReference | undefined;
  /** What the run is of: the model, the data and their order. Runs that go on must agree. */
  readonly key?: string | undefined;
  readonly resume?: boolean | undefined;
  /** What progress counts; `samples` when absent. */
  readonly unit?: { readonly name: string; readonly perSample: number } | undefined;
}

export interface TrainResult {
  /** Loss and rate of every step, and the measurements. */
  readonly state: RunState;
  readonly reason: Exclude<StopReason, 'stopped'>;
  /** The step that the run went on from. */
  readonly resumedAt: number | undefined;
  readonly records: readonly WeightRecord[];
}

/**
 * Trains the weights of a model in place: nothing else of it changes. Deterministic: the same seed, threads and options give the same bits, and so does a run that is cut off and
 * goes on, unless time ends it.
 *
 * A signal ends the run after its step with a checkpoint; then its reason is thrown. Throws `E_NOTHING_TO_DO` when no weight is to be trained, `E_UNSUPPORTED` with all operators
 * that have no gradient, `E_DATA` for data that does not fit (an empty batch, a label out of range), `E_DIVERGED` when loss or gradients are not finite, `E_DISK_FULL` when a
 * checkpoint finds no room, `E_RESUME` for checkpoints of something else, `E_PEER` when a process of `exchange` is lost or stops. The last good checkpoint stays, and errors on the way name it.
 */
export async function train(model: Model, options: TrainOptions): Promise<TrainResult> {
  const { exchange, signal } = options;
  const result = await trainHere(model, options).catch((error: unknown) => {
    // The others wait for this one.
    exchange?.fail(error);
    throw error;
  });
  const { reason } = result;
  if (reason !== 'stopped') return { ...result, reason };
  // By agreement of all: no failure of anybody.
  signal?.throwIfAborted();
  if (exchange) throw new PenjingError('E_PEER', `another rank stopped the training after step ${result.state.step}`, { hint: `The checkpoint of step ${result.state.step} is intact: all ranks go on from it with --resume.` });
  throw new PenjingError('E_WORKER', `the training was stopped after step ${result.state.step}`);
}

async function trainHere(model: Model, options: TrainOptions): Promise<Omit<TrainResult, 'reason'> & { readonly reason: TrainResult['reason'] | 'stopped' }> {
  const { jobs, data, validation, loss = crossEntropy(), batch, accumulate = 1, engines = 1, exchange, dropout, seed = 0, signal, onProgress } = options;
  const world = exchange?.world ?? 1;
  const size = sampleCount(data);
  if (!(batch >= 1)) throw new PenjingError('E_OPTION', `a batch of ${batch} samples`, { hint: 'At least one is needed.' });
  if (options.optimizer.grids?.length && options.optimizer.average !== undefined) throw new PenjingError('E_OPTION', 'averages of integers are no integers', { hint: 'Leave out the average.' });
  if (!Number.isInteger(engines) || engines < 1 || batch % (engines * world) !== 0) throw new PenjingError('E_OPTION', `a batch of ${batch} samples cannot be shared evenly by ${engines * world} engines`, { hint: 'Choose a batch that is a multiple of the engines.' });
  if (dropout !== undefined && !(dropout > 0 && dropout < 1)) throw new PenjingError('E_OPTION', `a dropout of ${dropout}`, { hint: 'Shares lie between 0 and 1.' });
  if (validation) sampleCount(validation);
  const { steps, seconds } = lengthOf(options, Math.ceil(size / (batch * accumulate)));
  const shapes = new Map<string, Shape>(Object.entries(data.columns).map(([name, { shape }]) => [name, [batch / engines / world, ...shape.slice(1)]]));
  const graph = trainingGraph(model, { loss, select: options.select, shapes, statistics: options.statistics, recompute: options.recompute, dropout: dropout !== undefined });
  const evaluation = evaluationGraph(model, { loss: options.validationLoss ?? loss, metrics: options.metrics ?? {}, weights: graph.weights, keep: options.pairs ? [options.pairs.embedding] : [] });

  await using prepared = await jobs.prepare(graph.model);
  await using measured = await jobs.prepare(evaluation.model);
  await using own = options.checkpoints ? undefined : await jobs.openShelf();
  using served = exchange && serveExchange(exchange);
  const teachers = [];
  try {
    for (const teacher of options.teacher?.models ?? []) teachers.push(await jobs.prepare(teacher));
    const references = await Promise.all([...graph.weights].map(async ([name, tensor]) => [name, await jobs.refer(tensor)] as const));
    const plain = ({ kind, reference }: { readonly kind: 'model'; readonly reference: unknown }): { kind: 'model'; reference: unknown } => ({ kind, reference });
    const shelf = options.checkpoints ?? own!;
    const teacher = options.teacher && { models: teachers.map(plain), outputs: options.teacher.outputs, cache: options.teacher.cache && { kind: 'shelf' as const, reference: options.teacher.cache.reference } };
    // The training finds them there.
    if (teacher?.cache && jobs.parallel > 1) await askTogether(jobs, { ...teacher, cache: teacher.cache, data, batch, size }, options);
    const output = await jobs.run(trainJob, {
      plan: {
        optimizer: options.optimizer, accumulate, steps, seconds, patience: options.patience, checkpointEvery: options.checkpointEvery,
        validateEvery: options.validateEvery ?? (steps === undefined ? 100 : Math.max(1, Math.ceil(steps / 20))),
      },
      seed, batch, engines, exchange: served && { rank: served.rank, world: served.world, port: served.port },
      graph: { model: plain(prepared), inputs: graph.inputs, running: graph.running },
      evaluation: { model: plain(measured), inputs: evaluation.inputs, metrics: evaluation.metrics, pairs: options.pairs },
      weights: Object.fromEntries(references),
      dropout: dropout === undefined ? undefined : { rate: dropout, masks: graph.masks },
      matrices: options.optimizer.name === 'muon' ? hiddenMatrices(model).filter(({ name }) => graph.weights.has(name)) : [],
      scratch: options.scratch && initialWeights(model, graph.weights, options.scratch), data, validation,
      teacher,
      checkpoints: { kind: 'shelf', reference: shelf.reference },
      key: options.key ?? '', resume: options.resume ?? false,
      unit: options.unit ?? { name: 'samples', perSample: 1 },
    }, { seed, ...(served && { transfer: [served.port] }), ...(signal && { stop: signal }), ...(onProgress && { onProgress }) });
    const { state, reason, resumedAt } = output;
    if (reason === 'stopped') return { state, reason, resumedAt, records: [] };
    const records: WeightRecord[] = [];
    for (const [name, { tensor, moved, maxMoved, before }] of Object.entries(output.weights)) {
      const stored = model.graph.initializers.get(name)!;
      const bytes = stored.tensor!.byteLength;
      stored.tensor = await jobs.tensor(tensor);
      records.push({ name, method: 'trained', elements: bytes / 4, bytesBefore: bytes, bytesAfter: bytes, objective: moved, maxError: maxMoved, snrDb: moved === 0 ? Infinity : 10 * Math.log10(before / moved) });
    }
    return { state, reason, resumedAt, records };
  } finally {
    for (const teacher of teachers) await teacher[Symbol.asyncDispose]();
  }
}

/** Throws `E_OPTION` for a run that never ends. */
function lengthOf({ steps, epochs, minutes }: TrainOptions, perEpoch: number): { readonly steps: number | undefined; readonly seconds: number | undefined } {
  const counted = [steps, epochs === undefined ? undefined : Math.ceil(epochs * perEpoch)].filter((count) => count !== undefined);
  if (counted.length === 0 && minutes === undefined) throw new PenjingError('E_OPTION', 'how long to train is not said', { hint: 'Give steps, epochs or minutes.' });
  if ([...counted, minutes ?? 1].some((value) => !(value > 0))) throw new PenjingError('E_OPTION', 'a training of no length', { hint: 'Steps, epochs and minutes are above 0.' });
  return { steps: counted.length > 0 ? Math.min(...counted) : undefined, seconds: minutes === undefined ? undefined : minutes * 60 };
}
