/** `penjing worker`: does jobs of a fleet, or serves a stage of a plan, until it is told to end. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { fleetOptions, joinOptionsOf, rootsOf } from '../fleet-options.js';
import { common, integer, numberOf, refuseOptions } from '../options.js';
import { runStage, stageOnlyOptions, stageOptions } from '../worker-stage.js';

export const worker: Command = {
  name: 'worker',
  summary: 'do jobs of a fleet (what batch and quantize --join give out), or serve a stage of a plan to other machines',
  arguments: [{ name: '[model]', help: 'of a stage: an .onnx file or a model folder' }],
  options: [
    ...fleetOptions,
    { flags: '--slots <n>', help: 'jobs at a time (as many as threads)', parse: integer(1, 256) },
    common.threads,
    ...stageOptions,
  ],
  examples: ['penjing worker --join nats://127.0.0.1:4222 --root /mnt/models', 'penjing worker --join tls://broker:4222 --nkey worker.nk --tls-ca ca.pem --root /mnt/models --slots 2', 'PENJING_STAGE_TOKEN=… penjing worker model.onnx --plan plan.json --stage 0 --listen 10.0.0.5:7000 --next 10.0.0.6:7000', 'PENJING_STAGE_TOKEN=… penjing worker model.onnx --plan plan.json --stage 0 --listen 10.0.0.5:7000 --join nats://broker:4222'],
  async run(context) {
    const { options, note, signal } = context;
    if (options['stage'] !== undefined) {
      refuseOptions(options, ['root', 'ackWait', 'slots', 'threads'], 'with --stage');
      return runStage(context);
    }
    refuseOptions(options, stageOnlyOptions, 'without --stage');
    const join = joinOptionsOf(context);
    if (!join) throw new PenjingError('E_OPTION', 'a worker needs --join or --stage', { hint: 'Name the NATS server of a fleet, --join nats://HOST:4222, or the stage of a plan to serve.' });
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
