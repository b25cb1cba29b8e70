/** The trainer on small networks: it learns, goes on where it was cut off, averages, and stops where it must. */
import { denseOf, GraphBuilder, type JobHost, lazy, type Model, type PenjingError, print, type Progress } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { softTargets } from '../losses/soft-targets.js';
import { accuracy } from '../losses/accuracy.js';
import { classifier, jobsOn, samples, weightsOf } from './testing.js';
import { train, type TrainOptions } from './train.js';

const testJobs = (): JobHost => jobsOn(referenceEngine());
const optimizer = { rate: 0.02, schedule: { name: 'cosine', warmup: 3 }, weightDecay: 0.01, clip: 1 } as const;

async function options(jobs: JobHost, more: Partial<TrainOptions> = {}): Promise<TrainOptions> {
  return { jobs, data: await samples(jobs, 48), optimizer, batch: 8, steps: 24, seed: 3, ...more };
}

/** With a hidden matrix, for muon. */
function deepClassifier(): Model {
  const model = classifier();
  const b = new GraphBuilder(model.graph);
  const last = [...model.graph.nodes()].at(-1)!;
  const weight = b.initializer('hidden.weight', denseOf('float32', [6, 6], Array.from({ length: 36 }, (_, i) => 0.4 * Math.sin(i))));
  last.setInput(0, b.before(last, () => b.op('Tanh', [b.op('MatMul', [last.input(0), weight])])));
  return model;
}

const failure = (code: string, message?: RegExp): unknown => expect.objectContaining({ code, ...(message && { message: expect.stringMatching(message) as string }) });

describe('train', () => {
  test('lowers the loss, and changes nothing but the weights that the loss depends on', async () => {
    const jobs = testJobs();
    const model = classifier();
    const [before, nodes] = [await weightsOf(model), print(model)];
    const progress: Progress[] = [];
    const { state, records, reason } = await train(model, await options(jobs, { steps: 60, validation: await samples(jobs, 30, 8), metrics: { accuracy: accuracy() }, onProgress: (at) => progress.push(at) }));
    expect(reason).toBe('steps');
    expect(state.losses.slice(-10).reduce((a, b) => a + b)).toBeLessThan(0.8 * state.losses.slice(0, 10).reduce((a, b) => a + b));
    expect(state.validations.at(-1)!.metrics['accuracy']).toBeGreaterThan(state.validations[0]!.metrics['accuracy']!);
    const after = await weightsOf(model);
    expect(Object.keys(after)).toEqual(Object.keys(before));
    expect(after['unused.weight']).toEqual(before['unused.weight']);
    expect(records.map(({ name }) => name).sort()).toEqual(['first.bias', 'first.weight', 'second.bias', 'second.weight']);
    for (const { name, objective } of records) expect(objective).toBeCloseTo(after[name]!.reduce((sum, w, i) => sum + (w - before[name]![i]!) ** 2 / 2, 0), 5);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['logits']);
    expect(print(model)).toBe(nodes);
    expect(progress.at(-1)!.figures).toMatchObject({ step: 60, loss: state.losses.at(-1) });
  });

  test('batches move the statistics that the model is deployed with', async () => {
    const jobs = testJobs();
    const model = classifier();
    const b = new GraphBuilder(model.graph);
    const gemm = [...model.graph.nodes()].at(-1)!;
    const vector = (name: string, value: number) => b.initializer(name, denseOf('float32', [6], new Array<number>(6).fill(value)));
    gemm.setInput(0, b.before(gemm, () => b.op('BatchNormalization', [gemm.input(0), vector('norm.scale', 1), vector('norm.bias', 0), vector('norm.mean', 0), vector('norm.variance', 1)])));
    const nodes = print(model);
    const { records } = await train(model, await options(jobs, { statistics: 'batch', validation: await samples(jobs, 30, 8), steps: 60 }));
    const after = await weightsOf(model);
    expect(print(model)).toBe(nodes);
    expect(records.map(({ name }) => name)).toEqual(expect.arrayContaining(['norm.scale', 'norm.mean', 'norm.variance']) as string[]);
    // Tanh gives values in (−1, 1): no variance is near 1 any more, no mean is 0.
    expect(after['norm.variance']!.every((value) => value > 0 && value < 0.9)).toBe(true);
    expect(after['norm.mean']!.every((value) => value !== 0 && Math.abs(value) < 1)).toBe(true);
  });

  test('the same seed gives the same bits, another seed others', async () => {
    const run = async (seed: number): Promise<unknown> => {
      const jobs = testJobs();
      const model = classifier();
      await train(model, await options(jobs, { seed }));
      return weightsOf(model);
    };
    const first = await run(3);
    expect(await run(3)).toEqual(first);
    expect(await run(4)).not.toEqual(first);
  });

  test.each([[1, 'adamw'], [7, 'adamw'], [8, 'muon'], [23, 'muon']] as const)('a run that was stopped after step %i goes on to the same bits with %s', async (cut, name) => {
    const more = { validateEvery: 5, checkpointEvery: 4, accumulate: 2, optimizer: { ...optimizer, name, average: 0.9 } };
    const jobs = testJobs();
    const validation = await samples(jobs, 20, 8);
    const classifier = deepClassifier;
    const whole = classifier();
    const expected = await train(whole, await options(jobs, { ...more, validation }));

    const model = classifier();
    const checkpoints = await jobs.openShelf();
    const controller = new AbortController();
    const onProgress = ({ figures }: Progress): void => void (figures?.['step'] === cut && controller.abort(new Error('enough')));
    await expect(train(model, await options(jobs, { ...more, validation, checkpoints, signal: controller.signal, onProgress }))).rejects.toThrow('enough');
    expect(await weightsOf(model)).toEqual(await weightsOf(classifier()));
    const resumed = await train(model, await options(jobs, { ...more, validation, checkpoints, resume: true }));
    expect(resumed.resumedAt).toBe(cut);
    expect(await weightsOf(model)).toEqual(await weightsOf(whole));
    expect({ ...resumed.state, elapsed: 0 }).toEqual({ ...expected.state, elapsed: 0 });
  });

  test('gradients of several batches count like those of one', async () => {
    const run = async (batch: number, accumulate: number): Promise<Record<string, number[]>> => {
      const jobs = testJobs();
      const model = classifier();
      await train(model, await options(jobs, { batch, accumulate, steps: 6 }));
      return weightsOf(model);
    };
    const [one, four] = [await run(16, 1), await run(4, 4)];
    for (const [name, values] of Object.entries(one)) values.forEach((value, i) => expect(four[name]![i]).toBeCloseTo(value, 4));
  });

  test('engines that share batches, and passes that are computed twice, give what one engine gives', async () => {
    const run = async (more: Partial<TrainOptions>): Promise<Record<string, number[]>> => {
      const jobs = testJobs();
      const model = classifier();
      await train(model, await options(jobs, { steps: 6, ...more }));
      return weightsOf(model);
    };
    const one = await run({});
    expect(await run({ recompute: true })).toEqual(one);
    const four = await run({ engines: 4 });
    expect(four).not.toEqual(one);
    expect(await run({ engines: 4 })).toEqual(four);
    for (const [name, values] of Object.entries(one)) values.forEach((value, i) => expect(four[name]![i]).toBeCloseTo(value, 5));
    await expect(run({ engines: 3 })).rejects.toEqual(failure('E_OPTION', /8 samples cannot be shared evenly by 3 engines/));
  });

  test('the best measurement is the result, and the end comes when none is better', async () => {
    const jobs = testJobs();
    const model = classifier();
    const validation = await samples(jobs, 30, 8);
    const { state, reason } = await train(model, await options(jobs, { validation, validateEvery: 2, patience: 3, steps: 4000, optimizer: { rate: 0.3 } }));
    expect(reason).toBe('patience');
    expect(state.step).toBe(state.best!.step + 6);
    // measured again, at step 0 of another run
    const again = await train(model, await options(jobs, { validation, steps: 1 }));
    expect(again.state.validations[0]!.loss).toBeCloseTo(state.best!.loss, 6);
  });

  test('muon steps hidden matrices by its own rate, the rest by that of AdamW, and leaves zeros that stay to AdamW', async () => {
    const moved = async (more: Partial<TrainOptions['optimizer']>): Promise<(name: string) => number[]> => {
      const jobs = testJobs();
      const model = deepClassifier();
      const before = await weightsOf(model);
      await train(model, await options(jobs, { steps: 1, optimizer: { name: 'muon', rate: 0.02, ...more } }));
      const after = await weightsOf(model);
      return (name) => after[name]!.map((value, i) => value - before[name]![i]!);
    };
    const length = (changes: readonly number[]): number => Math.hypot(...changes);
    const plain = await moved({});
    // singular values near 1, six of them at most; the first step of Adam is as long as its rate
    expect(length(plain('hidden.weight'))).toBeGreaterThan(0.02 * 0.7);
    expect(length(plain('hidden.weight'))).toBeLessThan(0.02 * 1.3 * Math.sqrt(6));
    for (const name of ['first.weight', 'second.weight', 'first.bias']) expect(Math.max(...plain(name).map(Math.abs))).toBeCloseTo(0.003, 5);
    const other = await moved({ adamwRate: 0.01 });
    expect(other('hidden.weight')).toEqual(plain('hidden.weight'));
    expect(Math.max(...other('first.weight').map(Math.abs))).toBeCloseTo(0.01, 5);
    expect(Math.max(...(await moved({ zeros: ['hidden.weight'] }))('hidden.weight').map(Math.abs))).toBeCloseTo(0.003, 5);
  });

  test.each(['adamw', 'sgd', 'lion', 'muon'] as const)('%s: vectors do not decay', async (name) => {
    const jobs = testJobs();
    const model = deepClassifier();
    const before = await weightsOf(model);
    // without a gradient only decay is left
    const data = { columns: { ...(await samples(jobs, 8)).columns, labels: await jobs.refer(denseOf('int64', [8], Array<number>(8).fill(-100))) } };
    await train(model, await options(jobs, { data, steps: 1, optimizer: { name, rate: 0.1, weightDecay: 0.5 }, loss: ({ b, value }) => b.op('ReduceSum', [b.op('Mul', [value('logits'), b.constant('float32', 0)])], { keepdims: 0 }) }));
    const after = await weightsOf(model);
    expect(after['first.bias']).toEqual(before['first.bias']);
    if (name !== 'muon') expect(after['first.weight']![0]).toBeCloseTo(before['first.weight']![0]! * 0.95, 5);
    expect(after['hidden.weight']![1]).toBeCloseTo(before['hidden.weight']![1]! * 0.95, 5);
  });

  test('time ends a run, and starts over with random weights', async () => {
    const jobs = testJobs();
    const model = classifier();
    const { state, reason } = await train(model, await options(jobs, { steps: undefined, minutes: 0.01, scratch: { std: 0.1 } }));
    expect(reason).toBe('time');
    expect(state.elapsed).toBeGreaterThanOrEqual(0.6);
    expect(state.rates.at(-1)!).toBeLessThan(state.rates[4]!);
  });
});

describe('teachers', () => {
  test('a student learns what two teachers say on average, asked anew or kept', async () => {
    const run = async (cached: boolean): Promise<Record<string, number[]>> => {
      const jobs = testJobs();
      const model = classifier(3, 5);
      const cache = cached ? await jobs.openShelf() : undefined;
      const teacher = { models: [classifier(8, 2), classifier(8, 9)], outputs: { logits: 'teacher/logits' }, cache };
      const { state } = await train(model, await options(jobs, { teacher, loss: softTargets({ temperature: 2 }), steps: 40 }));
      expect(state.losses.at(-1)!).toBeLessThan(0.5 * state.losses[0]!);
      return weightsOf(model);
    };
    expect(await run(true)).toEqual(await run(false));
  });
});

describe('stops', () => {
  const rejected = async (more: (jobs: JobHost) => Promise<Partial<TrainOptions>>, model = classifier()): Promise<PenjingError> => {
    const jobs = testJobs();
    return train(model, await options(jobs, await more(jobs))).then(() => expect.fail('it trained'), (error: PenjingError) => error);
  };

  test('a loss that is not finite, with the last good checkpoint named', async () => {
    const error = await rejected(async (jobs) => ({ optimizer: { name: 'sgd', rate: 3e38 }, checkpoints: await jobs.openShelf(), checkpointEvery: 1 }));
    expect(error).toEqual(failure('E_DIVERGED'));
    expect(error.hint).toMatch(/checkpoint of step \d+ is intact/);
  });

  test('a weight that is not finite before the first step', async () => {
    const model = classifier();
    model.graph.initializers.get('first.bias')!.tensor = lazy.fill('float32', [6], NaN);
    expect(await rejected(async () => ({}), model)).toEqual(failure('E_DATA', /first\.bias/));
  });

  test('labels out of range, by sample', async () => {
    expect(await rejected(async (jobs) => ({ data: { ...(await samples(jobs, 20)), classes: { labels: 2 } } }))).toEqual(failure('E_DATA', /sample \d+ has the label 2/));
  });

  test('data without samples, columns of other lengths, and columns that are missing', async () => {
    expect(await rejected(async (jobs) => ({ data: await samples(jobs, 0) }))).toEqual(failure('E_DATA', /no samples/));
    expect(await rejected(async (jobs) => ({ data: { columns: { x: (await samples(jobs, 4)).columns['x']!, labels: (await samples(jobs, 5)).columns['labels']! } } }))).toEqual(failure('E_DATA', /4 samples, others have 5/));
    expect(await rejected(async (jobs) => ({ data: { columns: { x: (await samples(jobs, 4)).columns['x']! } } }))).toEqual(failure('E_DATA', /no column for labels/));
  });

  test('no weight to train, and no length', async () => {
    expect(await rejected(async () => ({ select: () => false }))).toEqual(failure('E_NOTHING_TO_DO'));
    expect(await rejected(async () => ({ select: (name) => name === 'unused.weight' }))).toEqual(failure('E_NOTHING_TO_DO'));
    expect(await rejected(async () => ({ steps: undefined }))).toEqual(failure('E_OPTION', /how long/));
    expect(await rejected(async () => ({ steps: 0 }))).toEqual(failure('E_OPTION', /no length/));
  });

  test('checkpoints of another run', async () => {
    const jobs = testJobs();
    const checkpoints = await jobs.openShelf();
    await train(classifier(), await options(jobs, { checkpoints, key: 'a', steps: 2 }));
    await expect(train(classifier(), await options(jobs, { checkpoints, key: 'b', steps: 2, resume: true }))).rejects.toEqual(failure('E_RESUME'));
  });
});
