/** One shard of a stage of a plan on this machine, beside those on others. */
import type { Model } from '@penjing/core';
import { type Plan, type ShardedModel, shardModel } from '@penjing/parallel';
import type { JoinedShard } from '@penjing/parallel/grpc';
import { loadRuntime } from '../load-runtime.js';
import type { BrokerOptions } from './join-fleet.js';
import { modelOf, readPlanFile, type ShardedLayout, shardsOf, stageOf } from './planned-part.js';
import { type SecurityFiles, securityOf } from './read-security.js';
import { joinStageChain, type StageChain } from './stage-chain.js';

export function cutAs({ devices, experts }: ShardedLayout, model: Model): ShardedModel {
  return shardModel(model, { shards: devices.length, ...(experts && { experts }) });
}

/** Of the engine of a shard: the cores of its device; what the engine chooses where nothing says. */
export function threadsOf(devices: Plan['devices'], { devices: names }: ShardedLayout, shard: number): { readonly threads?: number } {
  const cores = devices.find(({ name }) => name === names[shard])?.cores;
  return cores === undefined ? {} : { threads: cores };
}

export interface JoinStageOptions extends SecurityFiles {
  /** Path of the plan. */
  readonly plan: string;
  readonly stage: number;
  /** From 1. */
  readonly shard: number;
  /** Address of the first shard of the stage; without it `broker` knows. */
  readonly first?: string | undefined;
  readonly broker?: BrokerOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onChange?: ((state: JoinedShard['state']) => void) | undefined;
}

/** Takes part in a stage as one of its shards until it is disposed of. Throws `E_PLAN` for a plan without that stage or shard, `E_OPTION` for a stage that is not in shards. */
export async function joinPlannedStage(path: string, { plan: file, stage, shard, first, broker, signal, onChange, ...network }: JoinStageOptions): Promise<JoinedShard> {
  const plan = await readPlanFile(file);
  const planned = stageOf(plan, file, stage);
  const shards = shardsOf(planned, stage, shard);
  const [{ ortEngine }, { joinShards, planEpoch }, { part }, security] = await Promise.all([loadRuntime(), import('@penjing/parallel/grpc'), modelOf(path, planned, signal), securityOf(network)]);
  const epoch = planEpoch(plan);
  let joined: JoinedShard | undefined;
  const chain = broker && (await joinStageChain({ broker, epoch, onChange: () => joined?.findFirst('the first shard is another one now') }));
  try {
    joined = await joinShards({
      ...security, sharded: cutAs(shards, part), shard, engine: ortEngine(), ...threadsOf(plan.devices, shards, shard), first: chain ? () => chain.find(stage) : first!, epoch,
      ...(signal && { signal }), ...(onChange && { onChange }),
    });
    return chain ? withChain(joined, chain) : joined;
  } catch (error) {
    await chain?.[Symbol.asyncDispose]();
    throw error;
  }
}

function withChain(joined: JoinedShard, chain: StageChain): JoinedShard {
  return {
    get state() {
      return joined.state;
    },
    findFirst: (why) => joined.findFirst(why),
    async [Symbol.asyncDispose]() {
      await joined[Symbol.asyncDispose]();
      await chain[Symbol.asyncDispose]();
    },
  };
}
