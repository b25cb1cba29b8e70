/**
 * One training step of a Llama beside PyTorch's, on the same cores: cross-entropy, every weight trained, AdamW.
 * `npx tsx --conditions=@penjing/source bench/train-step.ts --model models/pine --python .venv/bin/python [--batch 8] [--length 256] [--steps 12] [--threads 2]`
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { denseOf, DenseTensor, GraphBuilder, inferShapes, type TensorReference, tensorType } from '@penjing/core';
import { differentiate, trainableInputs } from '@penjing/distill';
import { convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { ortJobs } from '@penjing/runtime';
import { median } from './timed.js';
import { trainStepJob } from './train-step-job.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/pine' }, python: { type: 'string', default: 'python3' }, batch: { type: 'string', default: '8' }, length: { type: 'string', default: '256' },
    steps: { type: 'string', default: '12' }, threads: { type: 'string', default: '2' },
  },
});
const [batch, length, steps, threads] = [values.batch, values.length, values.steps, values.threads].map(Number) as [number, number, number, number];

const model = await convertHuggingFace(await openHuggingFaceFolder(openFolder(values.model)), { attention: 'standard' });
inferShapes(model);
const logits = model.graph.outputs.find(({ name }) => name === 'logits')!;
const vocabulary = (logits.type as { shape: readonly number[] }).shape[2]!;
model.graph.outputs.length = 0;
const b = new GraphBuilder(model.graph);
const labels = b.op('Reshape', [b.input('labels', tensorType('int64', [batch, length])), b.constant('int64', [-1])]);
b.output(b.op('SoftmaxCrossEntropyLoss', [b.op('Reshape', [logits, b.constant('int64', [-1, vocabulary])]), labels], { ignore_index: -100 }), 'loss', tensorType('float32', []));
const weights = await trainableInputs(model);
differentiate(model, { loss: 'loss', of: [...weights.keys()] });

const ints = (of: (row: number, place: number) => number): DenseTensor => denseOf('int64', [batch, length], Array.from({ length: batch * length }, (_, i) => of(Math.floor(i / length), i % length)));
const token = (row: number, place: number): number => 3 + ((7919 * row + 31 * place * place + 17 * place) % (vocabulary - 3));
const caches = model.graph.inputs.flatMap(({ name, type }) =>
  name.startsWith('past_key_values') && type?.kind === 'tensor' ? [[name, new DenseTensor('float32', [batch, type.shape![1] as number, 0, type.shape![3] as number], new Uint8Array(0))] as const] : []);
const feeds = { input_ids: ints(token), labels: ints((row, place) => token(row, place + 1)), attention_mask: ints(() => 1), position_ids: ints((_, place) => place), ...Object.fromEntries(caches) };

await using jobs = ortJobs({ threads });
await using prepared = await jobs.prepare(model);
const referred = async (tensors: Iterable<readonly [string, DenseTensor]>): Promise<Record<string, TensorReference>> =>
  Object.fromEntries(await Promise.all([...tensors].map(async ([name, tensor]) => [name, await jobs.refer(tensor)] as const)));
const ours = await jobs.run(trainStepJob, { model: { kind: 'model', reference: prepared.reference }, weights: await referred(weights), feeds: await referred(Object.entries(feeds)), steps });
const total = median(ours.run.map((ms, i) => ms + ours.update[i]!));
console.log(`ours: ${total.toFixed(0)} ms a step (graph ${median(ours.run).toFixed(0)}, update ${median(ours.update).toFixed(0)}), loss ${ours.losses[0]!.toFixed(4)} → ${ours.losses.at(-1)!.toFixed(4)}, peak ${(ours.peakBytes / 1e6).toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}`);

const peer = spawn(values.python, [fileURLToPath(new URL('../peers/bench/train_step.py', import.meta.url)), values.model, String(batch), String(length), String(steps), String(threads)], { stdio: ['ignore', 'pipe', 'inherit'] });
let text = '';
peer.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
await once(peer, 'close');
const theirs = JSON.parse(text) as { readonly ms: readonly number[]; readonly losses: readonly number[]; readonly peak: number };
console.log(`PyTorch: ${median(theirs.ms).toFixed(0)} ms a step, loss ${theirs.losses[0]!.toFixed(4)} → ${theirs.losses.at(-1)!.toFixed(4)}, peak ${(theirs.peak / 1e6).toFixed(0)} MB; ratio ${(total / median(theirs.ms)).toFixed(2)}`);
process.exit(0);
