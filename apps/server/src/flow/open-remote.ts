/** A model whose stages run on other machines, as one of this server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Executor, isPenjingError } from '@penjing/core';
import { openPlannedStages } from '@penjing/recipe';
import { inferWith } from '../host/kinds/tensors.js';
import type { OpenedModel } from '../host/model-kind.js';
import type { ModelSource } from '../host/protocol.js';
import { signatureOf } from '../host/tensor-signature.js';

/** Stages load their parts from a network disk: a server that gives up sooner would be started again for nothing. */
const WAIT_MS = 600_000;
const AGAIN_MS = 1000;

/** Waits for the stages. Throws `E_UNAVAILABLE` when they do not come, `E_KEY` and `E_EPOCH` at once. */
export async function openRemote({ plan, addresses, ...tls }: NonNullable<ModelSource['stages']>, signal: AbortSignal): Promise<OpenedModel> {
  const executor = await awaited(() => openPlannedStages({ ...tls, plan, stages: addresses, token: process.env['PENJING_STAGE_TOKEN'] || undefined, signal }), signal);
  return {
    description: { task: 'tensors', inputs: executor.inputs.map(signatureOf), outputs: executor.outputs.map(signatureOf), bytes: 0, contextLength: undefined, hasChatTemplate: false },
    handlers: { infer: inferWith(async () => executor) },
    close: async () => executor[Symbol.asyncDispose](),
  };
}

async function awaited(open: () => Promise<Executor>, signal: AbortSignal): Promise<Executor> {
  for (const until = performance.now() + WAIT_MS; ;) {
    try {
      return await open();
    } catch (error) {
      if (!isPenjingError(error) || error.code !== 'E_UNAVAILABLE' || performance.now() > until) throw error;
      await sleep(AGAIN_MS, undefined, { signal });
    }
  }
}
