/** A run of training in one job: weights are read, trained and spilled in its thread, beside the engine. */
import { createRng, DenseTensor, type Executor, type Job, type JobContext, jobModule, PenjingError, type PreparedModel, type Shape, type ShelfReference, type TensorReference } from '@penjing/core';
import type { MatrixForm } from '../optimizers/muon.js';
import { newtonSchulz } from '../optimizers/newton-schulz.js';
import type { Buffers } from '../optimizers/optimizer.js';
import { Checkpoints, type RunState, type Validation } from './checkpoints.js';
import { type Dataset, type OpenDataset, openDataset } from './dataset.js';
import { averagedGradients, engineGradients, type GradientSource, rowsOfFeeds } from './gradient-source.js';
import type { Said } from './gradient-exchange.js';
import type { RunningStatistic } from '../trainable/batch-statistics.js';
import { type DropoutMask, dropoutFeeds } from './dropout.js';
import { type ExchangePort, exchangeAt } from './exchange-port.js';
import type { Draw } from './initial-weights.js';
import { pairCosines, recallAt1, spearman } from './pair-metrics.js';
import { plannedOptimizer } from './optimizer-plan.js';
import { sampleOrder } from './sample-order.js';
import { cachedTeacher, livingTeacher, type TeacherOutputs } from './teacher.js';
import { trainTogether } from './train-together.js';
import { type RunPlan, type StopReason, trainingLoop } from './training-loop.js';

export interface TrainInput {
  readonly plan: RunPlan;
  readonly seed: number;
  /** Samples of a batch. */
  readonly batch: number;
  /** That share each batch, or what a rank has of it. */
  readonly engines: number;
  /** Others that share it too, in processes of their own. */
  readonly exchange: ExchangePort | undefined;
  readonly graph: { readonly model: PreparedModel; readonly inputs: readonly string[]; readonly running: readonly RunningStatistic[] };
  readonly evaluation: { readonly model: PreparedModel; readonly inputs: readonly string[]; readonly metrics: readonly string[]; readonly pairs?: PairMetrics | undefined };
  readonly weights: Readonly<Record<string, TensorReference>>;
  /** The share that masks drop; no masks when undefined. */
  readonly dropout: { readonly rate: number; readonly masks: readonly DropoutMask[] } | undefined;
  /** Matrices of hidden layers, for muon. */
  readonly matrices: readonly MatrixForm[];
  /** Begins with random weights instead, drawn so. */
  readonly scratch: Readonly<Record<string, Draw>> | undefined;
  readonly data: Dataset;
  readonly validation: Dataset | undefined;
  readonly teacher: TeacherInput | undefined;
  readonly checkpoints: ShelfReference;
  readonly key: string;
  /** Goes on from the last checkpoint, if there is one. */
  readonly resume: boolean;
  /** What progress counts: samples, or more of them in each. */
  readonly unit: { readonly name: string; readonly perSample: number };
}

/** `recallAt1` of embeddings, (pairs, 2, width), by groups of pairs that mean the same; or `spearman`, of their cosines and scores. */
export interface PairMetrics {
  /** Output of the model. */
  readonly embedding: string;
  /** Column of int64 (pairs). */
  readonly groups?: string;
  /** Column of float32 (pairs). */
  readonly scores?: string;
}

export interface TeacherInput {
  readonly models: readonly PreparedModel[];
  readonly outputs: TeacherOutputs;
  /** Where answers are kept, if they are. */
  readonly cache: ShelfReference | undefined;
}

export interface TrainOutput {
  readonly state: RunState;
  readonly reason: StopReason;
  /** Of the best validation, or the last step. */
  readonly weights: Readonly<Record<string, TrainedWeight>>;
  readonly resumedAt: number | undefined;
}

export interface TrainedWeight {
  readonly tensor: TensorReference;
  /** ½‖w − w₀‖² and max |w − w₀| against what it was, and ½‖w₀‖². */
  readonly moved: number;
  readonly maxMoved: number;
  readonly before: number;
}

export const trainJob: Job<TrainInput, TrainOutput> = { module: jobModule(import.meta.url, './train-job'), name: 'trainJob', run: train };

async function train(input: TrainInput, context: JobContext): Promise<TrainOutput> {
  const { plan, seed, teacher } = input;
  const { rank = 0, world = 1 } = input.exchange ?? {};
  using exchange = input.exchange && exchangeAt(input.exchange);
  const executors: Executor[] = [];
  const load = async (model: PreparedModel): Promise<Executor> => {
    const executor = await context.load(model);
    executors.push(executor);
    return executor;
  };
  try {
    const checkpoints = await Checkpoints.open(context.shelf(input.checkpoints), input.key);
    const loaded = input.resume ? await checkpoints.load() : undefined;
    const weights = loaded?.weights ?? (await firstWeights(input, context));
    const average = plan.optimizer.average === undefined ? undefined : (loaded?.average ?? copiesOf(weights));
    const shapes = new Map<string, Shape>(Object.entries(input.weights).map(([name, { shape }]) => [name, shape]));
    let rate = 0;
    await using orthogonalizer = newtonSchulz(context.engine);
    const optimizer = plannedOptimizer(plan.optimizer, shapes, () => rate, { matrices: input.matrices, orthogonalizer });
    const optimizerState = loaded?.optimizer ?? optimizer.init(weights);

    const teachers = [];
    for (const model of teacher?.models ?? []) teachers.push(await load(model));
    const { pairs } = input.evaluation;
    const wanted = new Set([...input.graph.inputs, ...input.evaluation.inputs, ...[pairs?.groups, pairs?.scores].filter((name) => name !== undefined), ...teachers.flatMap(({ inputs }) => inputs.map(({ name }) => name))]);
    const data = await openDataset(input.data, wanted, context);
    const teach = teacher && livingTeacher(teachers, teacher.outputs, data);
    const taught = teach && teacher.cache ? await cachedTeacher(teach, { size: data.size, batch: input.batch, shelf: context.shelf(teacher.cache), onChunk: (done, total) => context.onProgress?.({ phase: 'teacher', done, total, unit: 'samples' }) }) : teach;
    checkColumns(input.graph.inputs, data, teacher, 'the data');
    const { running } = input.graph;
    const copies = await context.loadCopies(input.graph.model, input.engines);
    executors.push(...copies);
    const learned = [...weights.keys()].filter((name) => !running.some((statistic) => statistic.name === name));
    const source = averagedOver(copies.map((executor) => engineGradients(executor, learned, running)));
    const feeds = feedsOf(weights, shapes);
    const masks = input.dropout && dropoutFeeds(input.dropout.masks, { rate: input.dropout.rate, seed, engines: input.engines * world });
    const order = sampleOrder(data.size, seed);
    const own = input.batch / world;
    const validate = input.validation && (await validation(input, await openDataset(input.validation, wanted, context), teachers, await load(input.evaluation.model)));

    const begun = performance.now();
    const now = (): number => (performance.now() - begun) / 1000;
    const stopped = (): boolean => context.signal?.aborted === true;
    const together = exchange && trainTogether({ exchange, now, stopped, running: new Map(running.map(({ name }) => [name, weights.get(name)!])) });
    await together?.agree({ model: input.key, weights: [...shapes].map(([name, shape]) => [name, shape]), options: JSON.stringify(plan), seed, batch: input.batch });
    const fresh: RunState = loaded?.state ?? { step: 0, elapsed: 0, losses: [], rates: [], validations: [], worse: 0 };
    const start = together ? ((await together.begin([weights, average ?? new Map<string, Float32Array>(), optimizerState].flatMap((buffers) => [...buffers.values()]), fresh as unknown as Said)) as unknown as RunState) : fresh;
    const firstStep = start.step;
    const { state, reason } = await trainingLoop({
      plan, weights, average, optimizerState, optimizer, checkpoints, start,
      now: together?.now ?? now,
      validate: validate && ((buffers) => (together ? together.measured(() => validate(feedsOf(buffers, shapes))) : validate(feedsOf(buffers, shapes)))),
      setRate: (value) => (rate = value),
      async batch(n) {
        const samples = Array.from({ length: own }, (_, i) => order(n * input.batch + rank * own + i));
        const dropped = masks && rowsOfFeeds(masks(n), rank, world);
        const result = await source({ ...data.batch(samples, input.graph.inputs), ...(await taught?.(samples)), ...dropped }, feeds);
        for (const [name, next] of result.running ?? []) weights.get(name)!.set(next);
        return result;
      },
      share: together?.share,
      onStep: (at) => report(at, input, (at.step - firstStep) / now(), context),
      stopped: together?.stopped ?? stopped,
    });
    const result = rank > 0 ? copiesOf(average ?? weights) : ((await checkpoints.best()) ?? average ?? weights);
    // what was measured best is known to rank 0, whatever others have kept
    if (reason !== 'stopped') await together?.begin([...shapes.keys()].map((name) => result.get(name)!), null);
    return { state, reason, resumedAt: loaded || firstStep > 0 ? firstStep : undefined, weights: reason === 'stopped' ? {} : await spilled(result, shapes, input, context) };
  } finally {
    for (const executor of executors) await executor[Symbol.asyncDispose]();
  }
}

/** One source as it is: an average would copy its gradients. */
function averagedOver(sources: readonly GradientSource[]): GradientSource {
  const [first, ...others] = sources;
  return first && others.length === 0 ? first : averagedGradients(sources);
}

const copiesOf = (buffers: Buffers): Map<string, Float32Array> => new Map([...buffers].map(([name, buffer]) => [name, buffer.slice()]));

/** The buffers themselves as tensors: what an optimizer changes, the next run sees. */
function feedsOf(buffers: Buffers, shapes: ReadonlyMap<string, Shape>): Record<string, DenseTensor> {
  return Object.fromEntries([...buffers].map(([name, buffer]) => [name, DenseTensor.of('float32', shapes.get(name)!, buffer as Float32Array<ArrayBuffer>)]));
}

/** The model's own, or random ones. */
async function firstWeights({ weights, scratch, seed }: TrainInput, { read }: JobContext): Promise<Map<string, Float32Array>> {
  const first = new Map<string, Float32Array>();
  const rng = createRng(seed);
  for (const [name, reference] of Object.entries(weights)) {
    const buffer = (await read(reference)).data as Float32Array;
    if (scratch) {
      const { mean, std } = scratch[name]!;
      for (let i = 0; i < buffer.length; i++) buffer[i] = std === 0 ? mean : mean + std * rng.normal();
    } else if (!buffer.every(Number.isFinite)) throw new PenjingError('E_DATA', `the weight ${name} has values that are not finite`, { hint: 'The model is damaged; start from another.' });
    first.set(name, buffer);
  }
  return first;
}

/** Throws `E_DATA` for an input of the graph that neither the data nor a teacher fills. */
function checkColumns(inputs: readonly string[], data: OpenDataset, teacher: TeacherInput | undefined, what: string): void {
  const answered = new Set(Object.values(teacher?.outputs ?? {}));
  const missing = inputs.find((name) => !data.has(name) && !answered.has(name));
  if (missing !== undefined) throw new PenjingError('E_DATA', `${what} has no column for ${missing}`, { hint: missing.startsWith('labels') ? 'Give data with labels.' : `The model reads ${inputs.join(', ')}.` });
}

/** Means over all validation samples, in order. */
async function validation({ batch, evaluation, teacher }: TrainInput, data: OpenDataset, teachers: readonly Executor[], executor: Executor): Promise<(weights: Record<string, DenseTensor>) => Promise<Omit<Validation, 'step'>>> {
  checkColumns(evaluation.inputs, data, teacher, 'the validation data');
  const asked = Object.values(teacher?.outputs ?? {}).some((name) => evaluation.inputs.includes(name));
  const teach = teacher && asked ? livingTeacher(teachers, teacher.outputs, data) : undefined;
  const { pairs } = evaluation;
  const outputs = ['loss', ...evaluation.metrics];
  return async (weights) => {
    const sums = new Float64Array(outputs.length);
    const collected: DenseTensor[] = [];
    for (let start = 0; start < data.size; start += batch) {
      const samples = Array.from({ length: Math.min(batch, data.size - start) }, (_, i) => start + i);
      const fetched = await executor.run({ ...data.batch(samples, evaluation.inputs), ...(await teach?.(samples)), ...weights }, { outputs: pairs ? [...outputs, pairs.embedding] : outputs });
      outputs.forEach((name, i) => (sums[i]! += ((fetched[name] as DenseTensor).data[0] as number) * (samples.length / data.size)));
      if (pairs) collected.push(fetched[pairs.embedding] as DenseTensor);
    }
    return { loss: sums[0]!, metrics: { ...Object.fromEntries(evaluation.metrics.map((name, i) => [name.replace(/^metric\//, ''), sums[i + 1]!])), ...(pairs && measuredPairs(pairs, collected, data)) } };
  };
}

function measuredPairs({ groups, scores }: PairMetrics, collected: readonly DenseTensor[], data: OpenDataset): Record<string, number> {
  const width = collected[0]!.shape.at(-1)!;
  const values = new Float32Array(data.size * 2 * width);
  let at = 0;
  for (const { data: part } of collected) {
    values.set(part as Float32Array, at);
    at += part.length;
  }
  const embeddings = { values, width, count: data.size };
  const column = (name: string): ArrayLike<number | bigint> => (data.batch(Array.from({ length: data.size }, (_, i) => i), [name])[name] as DenseTensor).data;
  if (scores !== undefined) return { spearman: spearman(pairCosines(embeddings), Array.from(column(scores), Number)) };
  return { recallAt1: recallAt1(embeddings, groups === undefined ? undefined : column(groups)) };
}

function report({ step, elapsed, losses, rates, validations }: RunState, { plan, batch, unit }: TrainInput, stepsPerSecond: number, { onProgress }: JobContext): void {
  if (!onProgress) return;
  const speed = stepsPerSecond * batch * plan.accumulate * unit.perSample;
  const [loss, rate] = [losses.at(-1)!, rates.at(-1)!];
  const last = validations.at(-1);
  // Whatever ends first; a run that time ends counts seconds.
  const byTime = plan.steps === undefined || (plan.seconds !== undefined && elapsed / plan.seconds > step / plan.steps);
  const count = byTime && plan.seconds !== undefined ? { done: Math.min(Math.floor(elapsed), plan.seconds), total: plan.seconds, unit: 'seconds' } : { done: step, total: plan.steps ?? step, unit: 'steps' };
  onProgress({
    phase: 'train', ...count,
    // What matters most first: a narrow terminal shows the beginning.
    item: `loss ${loss.toFixed(4)}${last ? ` (validation ${last.loss.toFixed(4)})` : ''}, rate ${rate.toPrecision(2)}, ${speed >= 100 ? Math.round(speed) : speed.toPrecision(3)} ${unit.name}/s${count.unit === 'steps' ? '' : `, step ${step}`}`,
    figures: { step, loss, rate, [`${unit.name}PerSecond`]: speed },
  });
}

/** Where the trained weights lie, and how far each went. */
async function spilled(result: Buffers, shapes: ReadonlyMap<string, Shape>, { weights }: TrainInput, { read, spill }: JobContext): Promise<Record<string, TrainedWeight>> {
  const trained: Record<string, TrainedWeight> = {};
  for (const [name, buffer] of result) {
    const before = (await read(weights[name]!)).data as Float32Array;
    let [moved, maxMoved, energy] = [0, 0, 0];
    for (let i = 0; i < buffer.length; i++) {
      const difference = buffer[i]! - before[i]!;
      moved += (difference * difference) / 2;
      energy += (before[i]! * before[i]!) / 2;
      maxMoved = Math.max(maxMoved, Math.abs(difference));
    }
    trained[name] = { tensor: await spill(DenseTensor.of('float32', shapes.get(name)!, buffer.slice())), moved, maxMoved, before: energy };
  }
  return trained;
}
