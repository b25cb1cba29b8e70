/** What teachers say to some of the samples, asked beforehand and kept: machines of a fleet may each take a part. */
import { type Executor, inLanes, type Job, type JobContext, type JobHost, jobModule, type PreparedModel, type ShelfReference, type TaskOptions } from '@penjing/core';
import { type Dataset, openDataset } from './dataset.js';
import { keepAnswers, livingTeacher, type Teacher, type TeacherOutputs } from './teacher.js';

export interface TeacherJobInput {
  readonly models: readonly PreparedModel[];
  readonly outputs: TeacherOutputs;
  readonly data: Dataset;
  readonly batch: number;
  /** Whole batches of the data. */
  readonly range: { readonly start: number; readonly end: number };
  /** Where answers are kept. */
  readonly cache: ShelfReference;
}

/** Gives nothing back: the answers lie on the shelf. */
export const teacherJob: Job<TeacherJobInput, null> = { module: jobModule(import.meta.url, './teacher-job'), name: 'teacherJob', run: keepSome };

async function keepSome({ models, outputs, data: dataset, batch, range, cache }: TeacherJobInput, context: JobContext): Promise<null> {
  const teachers: Executor[] = [];
  try {
    for (const model of models) teachers.push(await context.load(model));
    const data = await openDataset(dataset, new Set(teachers.flatMap(({ inputs }) => inputs.map(({ name }) => name))), context);
    const living = livingTeacher(teachers, outputs, data);
    const teacher: Teacher = (samples) => {
      context.signal?.throwIfAborted();
      return living(samples);
    };
    await keepAnswers(teacher, { size: data.size, batch, range, shelf: context.shelf(cache) });
    return null;
  } finally {
    for (const teacher of teachers) await teacher[Symbol.asyncDispose]();
  }
}

/** Parts that a fleet gets; each loads the teachers. */
const MOST_PARTS = 32;

/** Lets all jobs of a host that run at the same time ask the teachers, each for a part of the samples. */
export async function askTogether(jobs: JobHost, { size, ...input }: Omit<TeacherJobInput, 'range'> & { readonly size: number }, { signal, onProgress }: Pick<TaskOptions, 'signal' | 'onProgress'>): Promise<void> {
  const batches = Math.ceil(size / input.batch);
  const length = Math.ceil(batches / MOST_PARTS) * input.batch;
  const ranges = Array.from({ length: Math.ceil(size / length) }, (_, i) => ({ start: i * length, end: Math.min(size, (i + 1) * length) }));
  let done = 0;
  await inLanes(ranges, jobs.parallel, async (range, _, until) => {
    await jobs.run(teacherJob, { ...input, range }, { signal: until });
    onProgress?.({ phase: 'teacher', done: (done += range.end - range.start), total: size, unit: 'samples' });
  }, signal);
}
