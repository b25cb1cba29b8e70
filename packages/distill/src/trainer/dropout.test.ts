/** Dropout: where masks go, that they are fed the same to a run that goes on and to engines that share a batch, and that measurements see none. */
import { DenseTensor, denseOf, type Feeds, type JobHost, type Model, type Progress, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { addDropout, dropoutFeeds } from './dropout.js';
import { classifier, jobsOn, residual, samples, weightsOf } from './testing.js';
import { train, type TrainOptions } from './train.js';

const full = (shape: readonly number[], value: number): DenseTensor => DenseTensor.of('float32', shape, new Float32Array(shape.reduce((a, c) => a * c, 1)).fill(value));

test('masks stand on branches and on what the stream begins with', async () => {
  const run = async (model: Model, feeds: Feeds): Promise<number[]> => {
    await using executor = await referenceEngine().load(model);
    return Array.from(((await executor.run(feeds))['logits'] as DenseTensor).data as Float32Array);
  };
  const x = denseOf('float32', [2, 4], [1, 2, -1, 0.5, 0.3, -2, 1, 1]);
  const model = residual();
  model.graph.inputs[0]!.type = tensorType('float32', [2, 4]);
  const masks = addDropout(model);
  expect(masks).toEqual([{ input: 'dropout/0', shape: [2, 6] }, { input: 'dropout/1', shape: [2, 6] }]);
  const plain = await run(residual(), { x });
  expect(await run(model, { x, 'dropout/0': full([2, 6], 1), 'dropout/1': full([2, 6], 1) })).toEqual(plain);
  const withoutBranch = await run(model, { x, 'dropout/0': full([2, 6], 0), 'dropout/1': full([2, 6], 1) });
  (await run(classifier(), { x })).forEach((value, i) => expect(withoutBranch[i]).toBeCloseTo(value, 5));
  const bias = await run(model, { x, 'dropout/0': full([2, 6], 1), 'dropout/1': full([2, 6], 0) });
  expect(bias.slice(0, 3)).toEqual(bias.slice(3));
});

test('a model without a stream, and shapes that are not known', () => {
  expect(() => addDropout(classifier())).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }) as Error);
  expect(() => addDropout(residual())).toThrow(/size/);
});

test('masks follow from the seed, the batch and the place', () => {
  const masks = [{ input: 'a', shape: [4, 50] }, { input: 'b', shape: [4, 50] }];
  const of = (seed: number, n: number, input: string, engines = 1): number[] => Array.from((dropoutFeeds(masks, { rate: 0.5, seed, engines })(n)[input] as DenseTensor).data as Float32Array);
  expect(of(1, 3, 'a')).toEqual(of(1, 3, 'a'));
  for (const other of [of(2, 3, 'a'), of(1, 4, 'a'), of(1, 3, 'b')]) expect(other).not.toEqual(of(1, 3, 'a'));
  expect(of(1, 3, 'a', 2).slice(0, 200)).toEqual(of(1, 3, 'a'));
});

async function options(jobs: JobHost, more: Partial<TrainOptions> = {}): Promise<TrainOptions> {
  return { jobs, data: await samples(jobs, 48), optimizer: { rate: 0.02 }, batch: 8, steps: 24, seed: 3, dropout: 0.3, ...more };
}

test('a run that was stopped goes on with the same masks; one without them goes elsewhere', async () => {
  const jobs = jobsOn(referenceEngine());
  const more = { accumulate: 2, checkpointEvery: 4, optimizer: { name: 'muon', rate: 0.02 } as const };
  const [whole, bare, model] = [residual(), residual(), residual()];
  await train(whole, await options(jobs, more));
  await train(bare, await options(jobs, { ...more, dropout: undefined }));
  expect(await weightsOf(bare)).not.toEqual(await weightsOf(whole));
  const checkpoints = await jobs.openShelf();
  const controller = new AbortController();
  const onProgress = ({ figures }: Progress): void => void (figures?.['step'] === 9 && controller.abort(new Error('enough')));
  await expect(train(model, await options(jobs, { ...more, checkpoints, signal: controller.signal, onProgress }))).rejects.toThrow('enough');
  const { resumedAt } = await train(model, await options(jobs, { ...more, checkpoints, resume: true }));
  expect(resumedAt).toBe(9);
  expect(await weightsOf(model)).toEqual(await weightsOf(whole));
});

test('engines that share a batch get their rows of the masks, and measurements drop nothing', async () => {
  const jobs = jobsOn(referenceEngine());
  const [one, two] = [residual(), residual()];
  const validation = await samples(jobs, 20, 8);
  const first = await train(one, await options(jobs, { steps: 6, validation }));
  await train(two, await options(jobs, { steps: 6, engines: 2 }));
  const [a, b] = [await weightsOf(one), await weightsOf(two)];
  for (const [name, values] of Object.entries(a)) values.forEach((value, i) => expect(b[name]![i]).toBeCloseTo(value, 4));
  const bare = await train(residual(), await options(jobs, { steps: 1, validation, dropout: undefined }));
  expect(first.state.validations[0]).toEqual(bare.state.validations[0]);
});

test.each([0, 1, -0.1, NaN])('a share of %f is refused', async (dropout) => {
  const jobs = jobsOn(referenceEngine());
  await expect(train(residual(), await options(jobs, { dropout }))).rejects.toMatchObject({ code: 'E_OPTION' });
});
