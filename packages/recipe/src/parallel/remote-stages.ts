/** A plan over several machines: one of its stages on this one, and all of them as one executor. */
import { readFile, stat } from 'node:fs/promises';
import { inferShapes, isPenjingError, PenjingError } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import { type Layout, MAX_PLAN_BYTES, type PlacedPart, type Plan, readPlan } from '@penjing/parallel';
import type { RemoteStages, Stage, StageFacts, StagesOptions } from '@penjing/parallel/grpc';
import { loadRuntime } from '../load-runtime.js';
import { runnableModel } from '../model-reference.js';
import type { BrokerOptions } from './join-fleet.js';
import { type SecurityFiles, securityOf } from './read-security.js';
import { checkReachable, joinStageChain, type StageChain } from './stage-chain.js';

/** What a stage and its front prove to each other. */
export type StageNetwork = SecurityFiles;

export interface ServeStageOptions extends StageNetwork {
  /** Path of the plan. */
  readonly plan: string;
  /** Which stage of its pipeline, from 0. */
  readonly stage: number;
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
function partOf(plan: Plan, { plan: file, stage, next, broker }: ServeStageOptions): PlacedPart {
  const stages = stagesOf(plan, file);
  const part = stages[stage];
  if (!part) throw new PenjingError('E_PLAN', `${file} has no stage ${stage}`, { hint: `Its stages are 0 to ${stages.length - 1}.` });
  const isLast = stage === stages.length - 1;
  if (!broker && (next === undefined) !== isLast) throw new PenjingError('E_OPTION', isLast ? `stage ${stage} is the last one` : `stage ${stage} is not told where stage ${stage + 1} is`, { hint: isLast ? 'Leave --next out.' : 'Give --next HOST:PORT, or --join nats://HOST:4222.' });
  checkOneHost(part.layout, plan, stage);
  return part;
}

async function servePart(path: string, plan: Plan, part: PlacedPart, options: ServeStageOptions, chain: StageChain | undefined): Promise<Stage> {
  const { stage, listen, window, force, signal, onChange } = options;
  const [{ ortEngine, ortJobs }, { openLayout }, { planEpoch, serveStage }, security] = await Promise.all([loadRuntime(), import('@penjing/parallel/node'), import('@penjing/parallel/grpc'), securityOf(options)]);
  const model = await (await runnableModel({ path }, signal)).model();
  // An engine wants the types of what comes into a part, and files say little of values between nodes.
  inferShapes(model);
  const results = model.graph.outputs.map(({ name }) => name).filter((name) => part.outputs.includes(name));
  const isLast = stage === stagesOf(plan, options.plan).length - 1;
  const next = isLast ? undefined : chain ? () => chain.find(stage + 1) : options.next;
  return serveStage({
    ...security, listen, results, epoch: planEpoch(plan), parallel: replicasOf(part.layout), force: force ?? false,
    open: (opening) => openLayout(extractModel(model, part.inputs, part.outputs), part.layout, { engine: ortEngine(), jobs: ortJobs, devices: plan.devices, signal: opening }),
    cancels: chain?.cancels, ...(next !== undefined && { next }), ...(window !== undefined && { limits: { window } }), ...(signal && { signal }),
    onChange: (state) => {
      chain?.tell();
      onChange?.(state);
    },
  });
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

async function readPlanFile(path: string): Promise<Plan> {
  const missing = (cause: unknown): never => {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { cause, hint: 'Make a plan: `penjing plan`.' });
  };
  const { size } = await stat(path).catch(missing);
  if (size > MAX_PLAN_BYTES) throw new PenjingError('E_PLAN', `${path} takes ${size} bytes, a plan takes at most ${MAX_PLAN_BYTES}`);
  return readPlan(await readFile(path, 'utf8').catch(missing), path);
}

function stagesOf({ layout }: Plan, path: string): readonly PlacedPart[] {
  if (layout.kind === 'pipeline') return layout.stages;
  throw new PenjingError('E_PLAN', `the layout of ${path} is no pipeline at its top, but ${layout.kind}`, { hint: 'Stages on several machines are those of a pipeline; run other layouts on one machine with `penjing run --plan`.' });
}

/** Shards and replicas of a stage talk through memory. */
function checkOneHost(layout: Layout, { devices }: Plan, stage: number): void {
  const hosts = new Set(devicesOf(layout).map((name) => devices.find((device) => device.name === name)?.host ?? name));
  if (hosts.size <= 1) return;
  throw new PenjingError('E_PLAN', `stage ${stage} lies on ${[...hosts].join(' and ')}`, { hint: 'A stage runs on one machine: shards would wait for the network at every layer. Plan with a pipeline between the machines.' });
}

function devicesOf(layout: Layout): readonly string[] {
  switch (layout.kind) {
    case 'device': return [layout.device];
    case 'tensor': return layout.devices;
    case 'data': return layout.replicas.flatMap(devicesOf);
    case 'pipeline': return layout.stages.flatMap((part) => devicesOf(part.layout));
    case 'tasks': return layout.parts.flatMap((part) => devicesOf(part.layout));
  }
}

/** Runs that a layout takes at a time. */
function replicasOf(layout: Layout): number {
  if (layout.kind === 'data') return layout.replicas.length;
  return layout.kind === 'pipeline' ? layout.stages.length : 1;
}
