/** A plan over several machines: one of its stages on this one, and all of them as one executor. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { Layout, Plan } from '@penjing/parallel';
import type { RemoteStages, Stage, StageFacts, StageOptions, StagesOptions } from '@penjing/parallel/grpc';
import { loadRuntime } from '../load-runtime.js';
import type { BrokerOptions } from './join-fleet.js';
import { checkOneHost, modelOf, type PlannedPart, readPlanFile, shardsOf, stageOf, stagesOf } from './planned-part.js';
import { type SecurityFiles, securityOf } from './read-security.js';
import { cutAs, threadsOf } from './remote-shards.js';
import { checkReachable, joinStageChain, type StageChain } from './stage-chain.js';

/** What a stage and its front prove to each other. */
export type StageNetwork = SecurityFiles;

export interface ServeStageOptions extends StageNetwork {
  /** Path of the plan. */
  readonly plan: string;
  /** Which stage of its pipeline, from 0. */
  readonly stage: number;
  /** The stage is in shards that are processes of their own, and this is the first one, which the others look for. */
  readonly sharded?: boolean | undefined;
  readonly listen: string;
  /** Address of the stage after this one. */
  readonly next?: string | undefined;
  /** Finds the stage after this one, and is found by the one before and by fronts, instead of `next`. */
  readonly broker?: BrokerOptions | undefined;
  /** Requests that a client may have under way. */
  readonly window?: number | undefined;
  /** Listens for everybody without a token or certificates. */
  readonly force?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onChange?: ((state: StageFacts | PenjingError) => void) | undefined;
}

/** Serves a stage of a plan until it is disposed of. Throws `E_PLAN` for a plan without that stage, or one that lays the stage over several machines. */
export async function servePlannedStage(path: string, options: ServeStageOptions): Promise<Stage> {
  const plan = await readPlanFile(options.plan);
  const { stage, broker } = options;
  const part = partOf(plan, options);
  if (broker) checkReachable(options.listen);
  const { planEpoch } = await import('@penjing/parallel/grpc');
  let served: Stage | undefined;
  const chain = broker && (await joinStageChain({ broker, epoch: planEpoch(plan), onChange: () => served?.findNext('the next stage is another one now') }));
  try {
    served = await servePart(path, plan, part, options, chain);
    const { address } = served;
    await chain?.announce(stage, address, () => served !== undefined && !isPenjingError(served.state));
    return chain ? leavingFirst(chain, served) : served;
  } catch (error) {
    await served?.[Symbol.asyncDispose]();
    await chain?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** Throws `E_PLAN`, `E_OPTION`. */
function partOf(plan: Plan, { plan: file, stage, next, broker, sharded }: ServeStageOptions): PlannedPart {
  const part = stageOf(plan, file, stage);
  const isLast = stage === stagesOf(plan, file).length - 1;
  if (!broker && (next === undefined) !== isLast) throw new PenjingError('E_OPTION', isLast ? `stage ${stage} is the last one` : `stage ${stage} is not told where stage ${stage + 1} is`, { hint: isLast ? 'Leave --next out.' : 'Give --next HOST:PORT, or --join nats://HOST:4222.' });
  if (sharded) shardsOf(part, stage, 0);
  else checkOneHost(part, plan, stage);
  return part;
}

async function servePart(path: string, plan: Plan, part: PlannedPart, options: ServeStageOptions, chain: StageChain | undefined): Promise<Stage> {
  const { stage, listen, window, force, signal, onChange } = options;
  const [opening, { planEpoch, serveStage }, security] = await Promise.all([openingOf(path, plan, part, options), import('@penjing/parallel/grpc'), securityOf(options)]);
  const isLast = stage === stagesOf(plan, options.plan).length - 1;
  const next = isLast ? undefined : chain ? () => chain.find(stage + 1) : options.next;
  return serveStage({
    ...security, ...opening, listen, epoch: planEpoch(plan), force: force ?? false,
    cancels: chain?.cancels, ...(next !== undefined && { next }), ...(window !== undefined && { limits: { window } }), ...(signal && { signal }),
    onChange: (state) => {
      chain?.tell();
      onChange?.(state);
    },
  });
}

async function openingOf(path: string, { devices }: Plan, planned: PlannedPart, { stage, sharded, signal }: ServeStageOptions): Promise<Pick<StageOptions, 'open' | 'results' | 'parallel' | 'shards'>> {
  const [{ ortEngine, ortJobs }, { openLayout }, { openFirstShard, ShardHub }, { part, results }] = await Promise.all([loadRuntime(), import('@penjing/parallel/node'), import('@penjing/parallel/grpc'), modelOf(path, planned, signal)]);
  const { layout } = planned;
  if (!sharded) return { results, parallel: replicasOf(layout), open: (opening) => openLayout(part, layout, { engine: ortEngine(), jobs: ortJobs, devices, signal: opening }) };
  const shards = shardsOf(planned, stage, 0);
  const model = cutAs(shards, part);
  const hub = new ShardHub(model);
  return { results, shards: hub, open: (opening) => openFirstShard({ sharded: model, hub, engine: ortEngine(), ...threadsOf(devices, shards, 0), signal: opening }) };
}

/** Those who look for a stage are told that it goes before it turns them away. */
function leavingFirst(chain: StageChain, stage: Stage): Stage {
  return {
    address: stage.address,
    get state() {
      return stage.state;
    },
    get underWay() {
      return stage.underWay;
    },
    findNext: (why) => stage.findNext(why),
    async [Symbol.asyncDispose]() {
      await chain[Symbol.asyncDispose]();
      await stage[Symbol.asyncDispose]();
    },
  };
}

export interface OpenPlannedStagesOptions extends StageNetwork {
  readonly plan: string;
  /** Addresses of the first stage, which are tried in turn; or the server that knows it. */
  readonly stages: readonly string[] | BrokerOptions;
  readonly signal?: AbortSignal | undefined;
}

/** The stages of a plan, which run already, as one executor. A request that a stage loses is sent again once. */
export async function openPlannedStages(options: OpenPlannedStagesOptions): Promise<RemoteStages> {
  const plan = await readPlanFile(options.plan);
  stagesOf(plan, options.plan);
  const { stages, signal } = options;
  const [{ openStages, planEpoch }, security] = await Promise.all([import('@penjing/parallel/grpc'), securityOf(options)]);
  const epoch = planEpoch(plan);
  const open = (address: StagesOptions['address'], cancels?: StagesOptions['cancels']): Promise<RemoteStages> => openStages({ ...security, address, epoch, cancels, replay: true, ...(signal && { signal }) });
  if (!('servers' in stages)) return open(stages);
  let front: RemoteStages | undefined;
  const chain = await joinStageChain({ broker: stages, epoch, onChange: () => front?.reconnect('the first stage is another one now') });
  try {
    front = await open(() => chain.find(0), chain.cancels);
    return closingToo(front, chain);
  } catch (error) {
    await chain[Symbol.asyncDispose]();
    throw error;
  }
}

function closingToo(front: RemoteStages, chain: StageChain): RemoteStages {
  return {
    inputs: front.inputs, outputs: front.outputs,
    get state() {
      return front.state;
    },
    run: (feeds, options) => front.run(feeds, options),
    reconnect: (why) => front.reconnect(why),
    async [Symbol.asyncDispose]() {
      await front[Symbol.asyncDispose]();
      await chain[Symbol.asyncDispose]();
    },
  };
}

/** Runs that a layout takes at a time. */
function replicasOf(layout: Layout): number {
  if (layout.kind === 'data') return layout.replicas.length;
  return layout.kind === 'pipeline' ? layout.stages.length : 1;
}
