/**
 * One training step beside PyTorch's, on the same cores: cross-entropy, every weight trained. A narrow Llama of 10 million parameters or one from a folder, with AdamW, or a ResNet-14 on pictures of 28 × 28 with momentum.
 * `npx tsx --conditions=@penjing/source bench/train-step.ts --network narrow --python .venv/bin/python [--batch 8] [--length 256] [--steps 12] [--threads 2]`
 * `npx tsx --conditions=@penjing/source bench/train-step.ts --network llama --model models/pine --python .venv/bin/python [--batch 8] [--length 256] [--steps 12] [--threads 2]`
 * `npx tsx --conditions=@penjing/source bench/train-step.ts --network resnet --python .venv/bin/python [--batch 128] [--steps 12] [--threads 2]`
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { DenseTensor, TensorReference } from '@penjing/core';
import { ortJobs } from '@penjing/runtime';
import { median } from './timed.js';
import { llamaStep, resnetStep, type TrainingStep, writeNarrowLlama } from './train-networks.js';
import { trainStepJob } from './train-step-job.js';

const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'llama' }, model: { type: 'string', default: 'models/pine' }, python: { type: 'string', default: 'python3' }, batch: { type: 'string' }, length: { type: 'string', default: '256' },
    steps: { type: 'string', default: '12' }, threads: { type: 'string', default: '2' },
    /** `muon` times its part of a step instead, of the matrices that it takes, without the peer. */
    optimizer: { type: 'string' },
  },
});
const [length, steps, threads] = [values.length, values.steps, values.threads].map(Number) as [number, number, number];

interface Network {
  readonly optimizer: 'adamw' | 'sgd';
  readonly batch: number;
  readonly make: (batch: number) => Promise<TrainingStep>;
  /** The peer and its arguments. */
  readonly peer: (batch: number) => readonly string[];
}

await using scratch = { path: await mkdtemp(join(tmpdir(), 'penjing-step-')), [Symbol.asyncDispose]: () => rm(scratch.path, { recursive: true, force: true }) };
const llama = (folder: string): Network => ({ optimizer: 'adamw', batch: 8, make: (batch) => llamaStep(folder, batch, length), peer: (batch) => ['train_step.py', folder, String(batch), String(length)] });
const networks: Readonly<Record<string, () => Promise<Network>>> = {
  narrow: async () => {
    await writeNarrowLlama(scratch.path);
    return llama(scratch.path);
  },
  llama: async () => llama(values.model),
  resnet: async () => ({ optimizer: 'sgd', batch: 128, make: (batch) => resnetStep(batch), peer: (batch) => ['train_resnet.py', String(batch)] }),
};
const network = await networks[values.network]?.();
if (!network) throw new Error(`--network is one of ${Object.keys(networks).join(', ')}`);
const batch = values.batch === undefined ? network.batch : Number(values.batch);

const { model, weights, state, feeds, matrices } = await network.make(batch);
await using jobs = ortJobs({ threads });
await using prepared = await jobs.prepare(model);
const referred = async (tensors: Iterable<readonly [string, unknown]>): Promise<Record<string, TensorReference>> =>
  Object.fromEntries(await Promise.all([...tensors].map(async ([name, tensor]) => [name, await jobs.refer(tensor as DenseTensor)] as const)));
const ours = await jobs.run(trainStepJob, {
  model: { kind: 'model', reference: prepared.reference }, weights: await referred(weights), feeds: await referred(Object.entries(feeds)), state: Object.fromEntries(state), steps,
  optimizer: values.optimizer === 'muon' ? 'muon' : network.optimizer, matrices,
});
const total = median(ours.run.map((ms, i) => ms + ours.update[i]!));
const shown = (losses: readonly number[]): string => `loss ${losses[0]!.toFixed(4)} → ${losses.at(-1)!.toFixed(4)}`;
console.log(`ours: ${total.toFixed(0)} ms a step (graph ${median(ours.run).toFixed(0)}, update ${median(ours.update).toFixed(0)}; processors ${median(ours.cpu).toFixed(0)}, of these the update ${median(ours.updateCpu).toFixed(0)}), ${shown(ours.losses)}, peak ${(ours.peakBytes / 1e6).toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}`);

if (values.optimizer === 'muon') process.exit();

const [script, ...args] = network.peer(batch);
const peer = spawn(values.python, [fileURLToPath(new URL(`../peers/bench/${script!}`, import.meta.url)), ...args, String(steps), String(threads)], { stdio: ['ignore', 'pipe', 'inherit'] });
const chunks: Buffer[] = [];
peer.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
const [code] = (await once(peer, 'close')) as [number];
if (code !== 0) throw new Error(`${script!} ended with ${code}`);
const theirs = JSON.parse(Buffer.concat(chunks).toString()) as { ms: number[]; cpu: number[]; losses: number[]; peak: number };
console.log(`PyTorch: ${median(theirs.ms).toFixed(0)} ms a step (processors ${median(theirs.cpu).toFixed(0)}), ${shown(theirs.losses)}, peak ${(theirs.peak / 1e6).toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}`);
console.log(`ratios: time ${(total / median(theirs.ms)).toFixed(2)}, processors ${(median(ours.cpu) / median(theirs.cpu)).toFixed(2)}, peak memory ${(ours.peakBytes / theirs.peak).toFixed(2)}`);
