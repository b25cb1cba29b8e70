/** Training steps beside an engine, in a worker thread: see `train-step.ts`. */
import { type DenseTensor, type Job, jobModule, type PreparedModel, type TensorReference } from '@penjing/core';
import { adamW, gradientName, sgd } from '@penjing/distill';

export interface TrainStepInput {
  readonly model: PreparedModel;
  readonly weights: Readonly<Record<string, TensorReference>>;
  readonly feeds: Readonly<Record<string, TensorReference>>;
  /** Outputs with the next value of a feed, by feed. */
  readonly state: Readonly<Record<string, string>>;
  readonly steps: number;
  readonly optimizer: 'adamw' | 'sgd';
}

export interface TrainStepOutput {
  readonly losses: readonly number[];
  /** Milliseconds of the run of the graph, of the update of the weights, and of the processors for both. */
  readonly run: readonly number[];
  readonly update: readonly number[];
  readonly cpu: readonly number[];
  readonly peakBytes: number;
}

export const trainStepJob: Job<TrainStepInput, TrainStepOutput> = { module: jobModule(import.meta.url, './train-step-job'), name: 'trainStepJob', run: train };

const optimizers = { adamw: () => adamW({ rate: 1e-3 }), sgd: () => sgd({ rate: 0.05, momentum: 0.9 }) };

async function train({ model, weights: references, feeds, state: running, steps, optimizer: name }: TrainStepInput, context: Parameters<typeof trainStepJob.run>[1]): Promise<TrainStepOutput> {
  await using executor = await context.load(model);
  const read = async (tensors: Readonly<Record<string, TensorReference>>): Promise<Record<string, DenseTensor>> =>
    Object.fromEntries(await Promise.all(Object.entries(tensors).map(async ([name, tensor]) => [name, await context.read(tensor)] as const)));
  const inputs = await read(references);
  const data = await read(feeds);
  const weights = new Map(Object.entries(inputs).map(([name, { data }]) => [name, data as Float32Array]));
  const optimizer = optimizers[name]();
  const state = optimizer.init(weights);
  const [losses, run, update, cpu]: [number[], number[], number[], number[]] = [[], [], [], []];
  for (let step = 0; step < steps; step++) {
    const [started, used] = [performance.now(), process.cpuUsage()];
    const outputs = await executor.run({ ...data, ...inputs });
    const ran = performance.now();
    await optimizer.update(weights, new Map([...weights.keys()].map((name) => [name, (outputs[gradientName(name)] as DenseTensor).data as Float32Array])), state, step);
    for (const [name, output] of Object.entries(running)) (data[name]!.data as Float32Array).set((outputs[output] as DenseTensor).data as Float32Array);
    losses.push((outputs['loss'] as DenseTensor).data[0] as number);
    run.push(ran - started);
    update.push(performance.now() - ran);
    const { user, system } = process.cpuUsage(used);
    cpu.push((user + system) / 1000);
  }
  return { losses, run, update, cpu, peakBytes: process.resourceUsage().maxRSS * 1024 };
}
