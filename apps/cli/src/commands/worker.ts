/** `penjing worker`: does jobs of a fleet until it is told to end. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { fleetOptions, joinOptionsOf, rootsOf } from '../fleet-options.js';
import { common, integer, numberOf } from '../options.js';

export const worker: Command = {
  name: 'worker',
  summary: 'do jobs of a fleet: what batch and quantize --join give out',
  arguments: [],
  options: [
    ...fleetOptions,
    { flags: '--slots <n>', help: 'jobs at a time (as many as threads)', parse: integer(1, 256) },
    common.threads,
  ],
  examples: ['penjing worker --join nats://127.0.0.1:4222 --root /mnt/models', 'penjing worker --join tls://broker:4222 --nkey worker.nk --tls-ca ca.pem --root /mnt/models --slots 2'],
  async run(context) {
    const { options, note, signal } = context;
    const join = joinOptionsOf(context);
    if (!join) throw new PenjingError('E_OPTION', 'a worker needs --join', { hint: 'Name the NATS server: --join nats://HOST:4222.' });
    const { joinFleet, openRoots, runWorker } = await import('@penjing/recipe');
    const roots = await openRoots(rootsOf(options));
    await using fleet = await joinFleet(join);
    note('ready: waiting for jobs');
    const summary = await runWorker({
      queue: fleet.queue,
      roots,
      slots: numberOf(options, 'slots'),
      threads: numberOf(options, 'threads'),
      signal,
      onEvent: (event) => {
        if (event.kind === 'failed') note(`${event.job.handler} ${event.job.id} failed: ${event.failure.message}`);
      },
    });
    return { json: { ...summary }, text: `${summary.done} jobs done, ${summary.failed} failed, ${summary.givenBack} given back` };
  },
};
