/** Training steps beside an engine, in a worker thread: see `train-step.ts`. */
import { type DenseTensor, type Job, jobModule, type PreparedModel, type TensorReference } from '@penjing/core';
import { adamW, gradientName } from '@penjing/distill';

export interface TrainStepInput {
  readonly model: PreparedModel;
  readonly weights: Readonly<Record<string, TensorReference>>;
  readonly feeds: Readonly<Record<string, TensorReference>>;
  readonly steps: number;
}

export interface TrainStepOutput {
  readonly losses: readonly number[];
  /** Milliseconds of the run of the graph, and of the update of the weights. */
  readonly run: readonly number[];
  readonly update: readonly number[];
  readonly peakBytes: number;
}

export const trainStepJob: Job<TrainStepInput, TrainStepOutput> = { module: jobModule(import.meta.url, './train-step-job'), name: 'trainStepJob', run: train };

async function train({ model, weights: references, feeds, steps }: TrainStepInput, context: Parameters<typeof trainStepJob.run>[1]): Promise<TrainStepOutput> {
  await using executor = await context.load(model);
  const read = async (tensors: Readonly<Record<string, TensorReference>>): Promise<Record<string, DenseTensor>> =>
    Object.fromEntries(await Promise.all(Object.entries(tensors).map(async ([name, tensor]) => [name, await context.read(tensor)] as const)));
  const inputs = await read(references);
  const data = await read(feeds);
  const weights = new Map(Object.entries(inputs).map(([name, { data }]) => [name, data as Float32Array]));
  const optimizer = adamW({ rate: 1e-3 });
  const state = optimizer.init(weights);
  const [losses, run, update]: [number[], number[], number[]] = [[], [], []];
  for (let step = 0; step < steps; step++) {
    const started = performance.now();
    const outputs = await executor.run({ ...data, ...inputs });
    const ran = performance.now();
    optimizer.update(weights, new Map([...weights.keys()].map((name) => [name, (outputs[gradientName(name)] as DenseTensor).data as Float32Array])), state, step);
    losses.push((outputs['loss'] as DenseTensor).data[0] as number);
    run.push(ran - started);
    update.push(performance.now() - ran);
  }
  return { losses, run, update, peakBytes: process.resourceUsage().maxRSS * 1024 };
}
