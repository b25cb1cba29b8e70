/** Training steps beside an engine, in a worker thread: see `train-step.ts`. */
import { type DenseTensor, type Job, jobModule, type PreparedModel, type TensorReference } from '@penjing/core';
import { adamW, gradientName, type MatrixForm, muon, newtonSchulz, type Optimizer, sgd } from '@penjing/distill';

export interface TrainStepInput {
  readonly model: PreparedModel;
  readonly weights: Readonly<Record<string, TensorReference>>;
  readonly feeds: Readonly<Record<string, TensorReference>>;
  /** Outputs with the next value of a feed, by feed. */
  readonly state: Readonly<Record<string, string>>;
  readonly steps: number;
  readonly optimizer: 'adamw' | 'sgd' | 'muon';
  /** For muon, which trains these alone. */
  readonly matrices: readonly MatrixForm[];
}

export interface TrainStepOutput {
  readonly losses: readonly number[];
  /** Milliseconds of the run of the graph, of the update of the weights, of the processors for both, and for the update. */
  readonly run: readonly number[];
  readonly update: readonly number[];
  readonly cpu: readonly number[];
  readonly updateCpu: readonly number[];
  readonly peakBytes: number;
}

export const trainStepJob: Job<TrainStepInput, TrainStepOutput> = { module: jobModule(import.meta.url, './train-step-job'), name: 'trainStepJob', run: train };

async function train({ model, weights: references, feeds, state: running, steps, optimizer: name, matrices }: TrainStepInput, context: Parameters<typeof trainStepJob.run>[1]): Promise<TrainStepOutput> {
  await using executor = await context.load(model);
  const read = async (tensors: Readonly<Record<string, TensorReference>>): Promise<Record<string, DenseTensor>> =>
    Object.fromEntries(await Promise.all(Object.entries(tensors).map(async ([name, tensor]) => [name, await context.read(tensor)] as const)));
  const inputs = await read(references);
  const data = await read(feeds);
  const weights = new Map(Object.entries(inputs).map(([name, { data }]) => [name, data as Float32Array]));
  await using orthogonalizer = newtonSchulz(context.engine);
  const optimizers: Readonly<Record<typeof name, () => Optimizer>> = {
    adamw: () => adamW({ rate: 1e-3 }), sgd: () => sgd({ rate: 0.05, momentum: 0.9 }), muon: () => muon({ rate: 0.02, matrices, orthogonalizer }),
  };
  const optimizer = optimizers[name]();
  const state = optimizer.init(weights);
  const [losses, run, update, cpu, updateCpu]: [number[], number[], number[], number[], number[]] = [[], [], [], [], []];
  for (let step = 0; step < steps; step++) {
    const [started, used] = [performance.now(), process.cpuUsage()];
    const outputs = await executor.run({ ...data, ...inputs });
    const [ran, usedByRun] = [performance.now(), process.cpuUsage()];
    await optimizer.update(weights, new Map([...weights.keys()].map((name) => [name, (outputs[gradientName(name)] as DenseTensor).data as Float32Array])), state, step);
    for (const [name, output] of Object.entries(running)) (data[name]!.data as Float32Array).set((outputs[output] as DenseTensor).data as Float32Array);
    losses.push((outputs['loss'] as DenseTensor).data[0] as number);
    run.push(ran - started);
    update.push(performance.now() - ran);
    for (const [list, since] of [[cpu, used], [updateCpu, usedByRun]] as const) {
      const { user, system } = process.cpuUsage(since);
      list.push((user + system) / 1000);
    }
  }
  return { losses, run, update, cpu, updateCpu, peakBytes: process.resourceUsage().maxRSS * 1024 };
}
