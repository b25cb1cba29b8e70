/** What the broker costs: the same jobs, handler and number of workers through NATS and through the scheduler of one process. */
import { createHash } from 'node:crypto';
import { type JobSpec, type Json, memoryQueue, runJobs, type TakenJob, workOn, type WorkQueue } from '@penjing/parallel';
import { connectNats, jetStreamQueue } from '@penjing/parallel/nats';
import { startNats } from '../packages/parallel/src/nats/testing/nats-server.js';

const [jobs = 500, workers = 2, milliseconds = 20, repeats = 3] = process.argv.slice(2).map(Number);

/** A job that waits, as one whose work is done by threads of its own does for this one, and hashes a little. */
const handle = async ({ spec }: TakenJob): Promise<Json> => {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return { sha256: createHash('sha256').update(JSON.stringify(spec)).digest('hex') };
};

/** Jobs per second. */
async function rate(run: string, publisher: WorkQueue, queues: readonly WorkQueue[]): Promise<number> {
  const stop = new AbortController();
  const working = queues.map((queue) => workOn(queue, handle, { slots: 1, prefetch: 2, signal: stop.signal }));
  const specs: JobSpec[] = Array.from({ length: jobs }, (_, i) => ({ handler: 'bench', spec: { run, i, path: 'a/path/of/some/length/model.safetensors', start: i * 4096, end: (i + 1) * 4096 } }));
  const started = performance.now();
  let done = 0;
  await runJobs(publisher, run, specs, ({ state }) => void (state === 'done' && done++));
  const seconds = (performance.now() - started) / 1000;
  stop.abort();
  await Promise.all(working);
  if (done !== jobs) throw new Error(`${done} of ${jobs} jobs were done`);
  return jobs / seconds;
}

const rates = { memory: [] as number[], nats: [] as number[] };
{
  await using server = await startNats();
  for (let i = 0; i < repeats; i++) {
    await using alone = memoryQueue();
    rates.memory.push(await rate(`m${i}`, alone, Array.from({ length: workers }, () => alone)));
    const connections = await Promise.all(Array.from({ length: workers + 1 }, () => connectNats({ servers: server.url })));
    const [publisher, ...queues] = await Promise.all(connections.map((connection) => jetStreamQueue(connection)));
    if (publisher) rates.nats.push(await rate(`n${i}`, publisher, queues));
    for (const queue of [publisher, ...queues]) await queue?.[Symbol.asyncDispose]();
    for (const connection of connections) await connection.close();
  }
}
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const [memory, nats] = [median(rates.memory), median(rates.nats)];
console.log(JSON.stringify({ jobs, workers, milliseconds, memory: Number(memory.toFixed(1)), nats: Number(nats.toFixed(1)), share: Number((nats / memory).toFixed(3)) }));
