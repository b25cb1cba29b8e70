/** Trains a model that is made to be deployed: in a form that has gradients, on columns of data, with the weights put back by name. */
import { join } from 'node:path';
import { cloneModel, type JobHost, type Model, type PassContext, type PassResult, PenjingError, sameShape, sha256, type ShelfReference } from '@penjing/core';
import { accuracy, crossEntropy, type GridTools, hasGrids, type Loss, makeTrainable, openGrids, type OpenedGrids, type OptimizerPlan, prunedWeights, readPairs, train, type TrainResult } from '@penjing/distill';
import { loadRuntime } from '../load-runtime.js';
import type { StepRun } from '../steps/step.js';
import { weightRule } from '../steps/weight-rules.js';
import { heldZeros } from './held-zeros.js';
import { checkAdapter, loraOf, saveAdapter, withAdapters } from './lora.js';
import { scratchDeviation } from './scratch-deviation.js';
import { trainedModel, type TrainingData } from './training-data.js';
import { trainingDataJob } from './training-data-job.js';
import type { TrainingFields } from './training-fields.js';

/** What a step adds to learning from labels. */
export interface Lesson {
  readonly loss: Loss;
  readonly teacher?: { readonly models: readonly Model[]; readonly outputs: Readonly<Record<string, string>>; readonly cache?: boolean } | undefined;
  /** Identifies the loss and the teachers: runs that go on must agree. */
  readonly key: string;
}

/** What a lesson is made of: the student in the form that is trained, which it may add to, and the data. */
export type LessonOf = (student: Model, data: TrainingData, jobs: JobHost) => Promise<Lesson>;

const LEAVE_OUT = 20;

/** A pass of one step: the model that it gets is the one that it gives, with other weights; integers that are quantized weights are trained as such. */
export async function trainModel(step: string, given: Model, fields: TrainingFields, lessonOf: LessonOf, { jobs, signal, onProgress, seed = 0 }: PassContext, run: StepRun | undefined): Promise<PassResult> {
  if (!jobs || !run) throw new PenjingError('E_OPTION', `${step} has to run the model, and there is nothing to run it with`);
  const warnings: string[] = [];
  const lora = loraOf(given, fields, seed);
  if (lora && fields.adapter !== undefined) await checkAdapter(lora, run.input.path);
  const adapted = lora?.model ?? given;
  const opened = hasGrids(adapted) ? await openIntegers(adapted, fields, { jobs, ...(signal && { signal }), ...(onProgress && { onProgress }) }) : undefined;
  const model = opened?.model ?? adapted;
  const { model: student, missing } = await makeTrainable(cloneModel(model), { ...(signal && { signal }) });
  if (missing.length > 0) run.onNote(`no gradients for ${missing.join(', ')}: what stands before them cannot be trained`);
  const { columns, length, scale, mean, std, leaveOut = LEAVE_OUT } = fields;
  const reading = { input: { path: run.input.path }, columns, length, scale, mean, std };
  await using shelf = await jobs.openShelf();
  const parts = await jobs.run(trainingDataJob, { model: trainedModel(student), reading, data: fields.data, validation: fields.validation, leaveOut, shelf: { kind: 'shelf', reference: shelf.reference } }, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
  const { data } = parts;
  if (!parts.validation && leaveOut !== 0) run.onNote(`of ${data.size} samples no ${leaveOut}th is left out: nothing is measured, and the result is the weights of the last step`);
  if (data.task === 'pairs') readPairs(student, data.logits);
  const lesson = await lessonOf(student, data, jobs);
  if (jobs.parallel > 1 && lesson.teacher && !lesson.teacher.cache) run.onNote('the teacher is asked on this machine, batch by batch: with cacheTeacher (--cache-teacher) workers ask it for all of the data');
  const select = selection(fields, lora?.select);
  checkNames(model, student, select);
  for (const rule of unmatched(fields, student)) run.onNote(`no weight is called ${rule}`);
  const pruned = fields.zeros === 'train' || fields.scratch ? new Map<string, number>() : await prunedWeights(student, { jobs, ...(signal && { signal }) });
  const zeros = heldZeros(pruned, opened?.grids ?? [], fields.zeros).filter(select);
  if (zeros.length > 0) run.onNote(`${zeros.length} weights are pruned: their zeros stay`);

  const classes = data.classes === undefined ? {} : { classes: { labels: data.classes } };
  const { engines = 1 } = fields;
  const { exchange } = run;
  const shares = sharesOf(fields, run);
  const wanted = fields.batch ?? (data.task === 'language' ? 8 : 32);
  // of a few samples as many as all engines have the same number of
  const batch = wanted <= parts.size ? wanted : Math.max(shares, parts.size - (parts.size % shares));
  if (batch < (fields.batch ?? 0)) run.onNote(`there are only ${parts.size} samples: a batch is ${batch}`);
  const optimizer = optimizerOf(fields, Math.ceil(parts.size / (batch * (fields.accumulate ?? 1))), { zeros, grids: opened?.grids.filter(({ weight }) => select(weight)) ?? [] });
  if (optimizer.grids) run.onNote(`${optimizer.grids.length} weights are integers: they are trained on their grids`);
  if (opened && opened.activations.length > 0) run.onNote(`${opened.activations.length} scales of rounded activations are trained`);
  const plan = { batch, accumulate: fields.accumulate, seed };
  const key = await sha256(JSON.stringify([step, jobs.digest ? await jobs.digest(adapted, signal ? { signal } : {}) : '', data.hash, parts.measuredHash, parts.size, plan, fields.trainable, fields.exclude, zeros, fields.scratch, fields.statistics, fields.dropout, optimizer.name, optimizer.average === undefined, lesson.key]));
  const shelves = await openShelves(run.folder, lesson.teacher?.cache === true ? key : undefined, jobs);
  try {
    const result = await train(student, {
      jobs, data: { columns: parts.train, ...classes }, ...(parts.validation && { validation: { columns: parts.validation, ...classes } }),
      loss: lesson.loss, validationLoss: data.task === 'language' || data.task === 'classes' ? crossEntropy({ logits: data.logits }) : lesson.loss, ...(data.task === 'pairs' && { pairs: { embedding: data.logits, ...(data.scored ? { scores: 'scores' } : { groups: 'groups' }) } }), metrics: data.task === 'classes' ? { accuracy: accuracy({ logits: data.logits }) } : {},
      select, optimizer, ...plan, engines, exchange, recompute: fields.recompute, statistics: fields.statistics ?? (fields.scratch ? 'batch' : 'stored'), steps: fields.steps, epochs: fields.epochs, minutes: fields.minutes,
      validateEvery: fields.validateEvery, patience: fields.patience, checkpointEvery: fields.checkpointEvery,
      ...(lesson.teacher && { teacher: { models: lesson.teacher.models, outputs: lesson.teacher.outputs, cache: shelves.teacher } }),
      dropout: fields.dropout,
      ...(fields.scratch && { scratch: { std: await scratchDeviation(run.input.path) } }),
      checkpoints: shelves.checkpoints, key, resume: true, unit: data.unit,
      ...(signal && { signal }), ...(onProgress && { onProgress }),
    }).catch((error: unknown) => {
      if (signal?.aborted && run.folder !== undefined) run.onNote('stopped behind a step, with a checkpoint: the same command with --resume goes on from it');
      throw error;
    });
    if (result.resumedAt !== undefined) run.onNote(`went on from step ${result.resumedAt}`);
    if (result.reason === 'patience') warnings.push(`the training ended after step ${result.state.step}: the last ${fields.patience} measurements were no better`);
    report(step, result, { data, size: parts.size, samplesPerStep: batch * (fields.accumulate ?? 1) }, run);
    const trained = putBack(step, model, student, result, warnings);
    const stored = opened ? await storeIntegers(opened, trained, { jobs, ...(signal && { signal }), ...(onProgress && { onProgress }) }) : trained;
    if (lora && fields.adapter !== undefined) await saveAdapter(fields.adapter, lora, stored.model, { base: run.input.path, causal: data.task === 'language', ...(signal && { signal }) });
    return lora ? withAdapters(lora, stored, opened !== undefined) : stored;
  } finally {
    await shelves.dispose();
  }
}

/** Into how many parts a batch goes: engines of all processes. */
export function sharesOf({ engines = 1 }: Pick<TrainingFields, 'engines'>, run: Pick<StepRun, 'exchange'> | undefined): number {
  return engines * (run?.exchange?.world ?? 1);
}

/** Throws `E_OPTION` for what no grid survives. */
async function openIntegers(model: Model, { scratch, average }: TrainingFields, tools: GridTools): Promise<OpenedGrids> {
  if (scratch) throw new PenjingError('E_OPTION', 'a quantized model cannot begin with random weights', { hint: 'Train it first, and quantize it then.' });
  if (average !== undefined) throw new PenjingError('E_OPTION', 'averages of integers are no integers', { hint: 'Leave out --average.' });
  return openGrids(model, tools);
}

async function storeIntegers(opened: OpenedGrids, { records, warnings, modified }: PassResult, tools: GridTools): Promise<PassResult> {
  const closed = await opened.close(opened.model, tools);
  const integers = new Map(closed.records.map((record) => [record.name, record]));
  const stored = records.filter(({ name }) => !opened.activations.includes(name)).map((record) => {
    const { method, bytesBefore, bytesAfter, note } = integers.get(record.name) ?? record;
    return { ...record, method, bytesBefore, bytesAfter, ...(note !== undefined && { note }) };
  });
  return { ...closed, modified, records: stored, warnings: [...warnings, ...closed.warnings] };
}

/** Weights by the rules of the step; those that a lesson brings along are always trained. */
function selection({ trainable, exclude = [] }: TrainingFields, only: ((name: string) => boolean) | undefined): (name: string) => boolean {
  if (only) return (name) => isAdded(name) || only(name);
  const matches = (rules: readonly (string | RegExp)[], name: string): boolean => rules.some((rule) => (typeof rule === 'string' ? rule === name : rule.test(name)));
  const [wanted, unwanted] = [trainable?.map(weightRule), exclude.map(weightRule)];
  return (name) => !isConstant(name) && (isAdded(name) || ((!wanted || matches(wanted, name)) && !matches(unwanted, name)));
}

/** Rules that say nothing, for a slip of the pen: names as they were given. */
function unmatched({ trainable = [], exclude = [] }: TrainingFields, { graph }: Model): string[] {
  const names = [...graph.initializers.keys()];
  return [...trainable, ...exclude].filter((text) => {
    const rule = weightRule(text);
    return !names.some((name) => (typeof rule === 'string' ? rule === name : rule.test(name)));
  });
}

/** What converters and passes call the constants that they make. */
const isConstant = (name: string): boolean => /^constant_\d+(_\d+)?$/.test(name);

/** Weights of a lesson, which are thrown away. */
export const ADDED = 'lesson/';
const isAdded = (name: string): boolean => name.startsWith(ADDED);

/** Throws `E_UNSUPPORTED` when a weight could not be put back: better now than after hours. */
function checkNames(model: Model, student: Model, select: (name: string) => boolean): void {
  let trained = 0;
  for (const [name, { tensor }] of student.graph.initializers) {
    if (!tensor || tensor.dtype !== 'float32' || tensor.shape.length === 0 || !select(name) || isAdded(name)) continue;
    trained++;
    const target = model.graph.initializers.get(name)?.tensor;
    if (target && target.dtype === tensor.dtype && sameShape(target.shape, tensor.shape)) continue;
    // Constants that a rewrite made: training may read them, and leaves them alone only if it is told so.
    if (!target) throw new PenjingError('E_UNSUPPORTED', `the weight ${name} is not one of the model itself: it could not be put back`, { hint: `Leave it out: --exclude ${name}` });
    throw new PenjingError('E_UNSUPPORTED', `${name} is ${tensor.dtype} [${tensor.shape.join(', ')}] where it is trained, ${target.dtype} [${target.shape.join(', ')}] in the model`, { hint: `Leave it out: --exclude ${name}` });
  }
  if (trained === 0) throw new PenjingError('E_NOTHING_TO_DO', 'no weight is to be trained', { hint: 'The choice leaves out every float32 weight; see `penjing inspect`.' });
}

type OptimizerName = NonNullable<TrainingFields['optimizer']>;

/** For weights that were trained before. */
const RATES: Readonly<Record<OptimizerName, number>> = { adamw: 5e-4, sgd: 5e-4, lion: 5e-5, muon: 2e-3 };
/** The shorter memory suits runs of hundreds of steps, and is what language models are trained with. */
const RECENT: Readonly<Partial<Record<OptimizerName, readonly number[]>>> = { adamw: [0.9, 0.95], muon: [0.9, 0.95] };
const MOMENTUM: Readonly<Partial<Record<OptimizerName, number>>> = { sgd: 0.9, muon: 0.95 };

function optimizerOf(fields: TrainingFields, stepsPerEpoch: number, { zeros = [], grids = [] }: Pick<OptimizerPlan, 'zeros' | 'grids'>): OptimizerPlan {
  const name = fields.optimizer ?? 'adamw';
  const { schedule = 'cosine', weightDecay = 0.01, clip = 1, average, adamwRate, betas = RECENT[name], momentum = MOMENTUM[name], steps, epochs } = fields;
  const length = Math.min(steps ?? Infinity, epochs === undefined ? Infinity : epochs * stepsPerEpoch);
  const warmup = fields.warmup ?? (Number.isFinite(length) ? Math.ceil(length / 20) : 20);
  return {
    name, rate: fields.rate ?? (name === 'muon' && fields.scratch ? 0.02 : RATES[name]), ...(adamwRate !== undefined && { adamwRate }), schedule: { name: schedule, warmup }, weightDecay,
    ...(clip > 0 && { clip }), ...(average !== undefined && { average }), ...(zeros.length > 0 && { zeros }), ...(grids.length > 0 && { grids }),
    ...(betas && { betas: [betas[0]!, betas[1]!] as const }), ...(momentum !== undefined && { momentum }),
  };
}

/**
 * Checkpoints, and answers of the teacher if they are kept: under the key of the training, since a worker that still asks the teacher of another one, which was killed here, may put its answers
 * down at any time.
 */
async function openShelves(folder: string | undefined, answers: string | undefined, jobs: JobHost): Promise<{ readonly checkpoints: ShelfReference; readonly teacher: ShelfReference | undefined; dispose(): Promise<void> }> {
  if (folder === undefined) {
    const shelves = await Promise.all([jobs.openShelf(), ...(answers === undefined ? [] : [jobs.openShelf()])]);
    return { checkpoints: shelves[0], teacher: shelves[1], dispose: async () => void (await Promise.all(shelves.map((shelf) => shelf[Symbol.asyncDispose]()))) };
  }
  const { openShelfAt } = await loadRuntime();
  return { checkpoints: await openShelfAt(folder), teacher: answers === undefined ? undefined : await openShelfAt(join(`${folder}-teacher`, answers)), dispose: async () => {} };
}

function putBack(step: string, model: Model, student: Model, { records, state }: TrainResult, warnings: readonly string[]): PassResult {
  const kept = records.filter(({ name }) => !isAdded(name)).map((record) => ({ ...record, method: step }));
  for (const { name } of kept) model.graph.initializers.get(name)!.tensor = student.graph.initializers.get(name)!.tensor;
  const harmed = state.best?.step === 0 ? [`no measurement was better than that before the first step: the weights are as they were`] : [];
  return { model, modified: state.best?.step !== 0, records: kept, warnings: [...warnings, ...harmed] };
}

interface Counted {
  readonly data: TrainingData;
  /** Samples to train on. */
  readonly size: number;
  readonly samplesPerStep: number;
}

function report(step: string, { state, reason, resumedAt }: TrainResult, { data, size, samplesPerStep }: Counted, run: StepRun): void {
  // of earlier parts of the run too, as what was seen is
  const { losses, rates, validations, best, elapsed: seconds } = state;
  run.onTrained({
    step, losses, rates, validations, best, reason, resumedAt, seconds,
    unit: data.unit.name, seen: state.step * samplesPerStep * data.unit.perSample, perEpoch: size * data.unit.perSample,
  });
}
