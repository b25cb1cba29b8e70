/** Stages of a plan that find each other, and are found, through a NATS server. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { PenjingError } from '@penjing/core';
import type { StageCancels } from '@penjing/parallel/grpc';
import type { StageMember } from '@penjing/parallel/nats';
import { type BrokerOptions, connectBroker } from './join-fleet.js';

export interface StageChain extends AsyncDisposable {
  /** The best one for a stage of this plan; undefined while there is none. */
  find(stage: number): StageMember | undefined;
  /** Says that a stage of this plan lives here, until the chain is disposed of. */
  announce(stage: number, address: string, isReady: () => boolean): Promise<void>;
  /** Between the front and all stages. */
  readonly cancels: StageCancels;
  /** Says at once what `isReady` says now. */
  tell(): void;
}

export interface StageChainOptions {
  readonly broker: BrokerOptions;
  /** Of the plan: stages of other plans are others. */
  readonly epoch: number;
  /** Called when the stages that live are others than before. */
  readonly onChange: () => void;
}

/** Throws what `connectNats` throws. */
export async function joinStageChain({ broker, epoch, onChange }: StageChainOptions): Promise<StageChain> {
  const connection = await connectBroker(broker);
  try {
    const { stageCancels, stageDirectory } = await import('@penjing/parallel/nats');
    const chain = broker.fleet ?? 'penjing';
    const directory = await stageDirectory(connection, { chain, onChange });
    const name = `${hostname()}.${process.pid}.${randomUUID().slice(0, 8)}`.replaceAll(/[^A-Za-z0-9_-]/g, '_');
    let announced: Awaited<ReturnType<typeof directory.announce>> | undefined;
    return {
      find: (stage) => directory.find(stage, epoch),
      async announce(stage, address, isReady) {
        announced = await directory.announce(() => ({ stage, name, address, epoch, ready: isReady() }));
      },
      cancels: stageCancels(connection, chain),
      tell: () => void announced?.now(),
      async [Symbol.asyncDispose]() {
        await announced?.[Symbol.asyncDispose]();
        await directory[Symbol.asyncDispose]();
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** Others are told the address that a stage listens on. Throws `E_OPTION` where it says nothing to them. */
export function checkReachable(listen: string): void {
  if (!/^(0\.0\.0\.0|\[?::\]?|\*?):\d+$/.test(listen)) return;
  throw new PenjingError('E_OPTION', `others cannot find a stage at ${listen}`, { hint: 'Give --listen the address by which they reach this machine.' });
}
