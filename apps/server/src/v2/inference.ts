/** Inference of any ONNX model, whoever asks: checks the request, has it batched with others, and counts. */
import { DenseTensor, encodeText, isPenjingError, PenjingError, StringTensor } from '@penjing/core';
import type { InferRequest, InferResponse, ModelStatisticsMessage, V2Parameters } from '@penjing/graph-io/v2';
import type { ModelDescription, WireTensor } from '../host/protocol.js';
import type { Leaving } from '../http/leaving.js';
import type { ModelRepository } from '../models/repository.js';
import type { ServedModel } from '../models/served-model.js';
import type { Metrics } from '../operate/metrics.js';
import type { Stage, Tracing } from '../operate/tracing.js';
import { type BatchPolicy, BatchScheduler, type Done } from '../schedule/batch-scheduler.js';
import { bucketOf, hasBatchAxis, joinTensors, rowsOf, splitTensors, type Tensors } from '../schedule/join-tensors.js';
import { feedsOf } from './signature.js';
import { Statistics } from './statistics.js';

/** What a request costs, for whoever wonders whether it was batched. */
export interface InferTimings {
  readonly queuedMs: number;
  readonly computeMs: number;
  readonly batchRows: number;
  readonly batchRequests: number;
}

export interface Inference {
  readonly response: InferResponse;
  readonly timings: InferTimings;
}

export interface InferOptions {
  readonly signal?: Leaving | undefined;
  /** Who asks, for fairness. */
  readonly client?: string | undefined;
  /** Milliseconds that the client waits; the `timeout` of the request counts too. */
  readonly timeoutMs?: number | undefined;
}

interface Asked {
  readonly inputs: Tensors;
  readonly outputs: readonly string[] | undefined;
  readonly rows: number;
}

interface Got {
  readonly outputs: Tensors;
  readonly computeMs: number;
}

interface Queue {
  readonly scheduler: BatchScheduler<Asked, Got>;
  readonly statistics: Statistics;
}

/** Longest wait that a request may ask for: an hour. */
const LONGEST_MS = 3_600_000;

export class InferenceService {
  readonly #models: ModelRepository;
  readonly #metrics: Metrics;
  readonly #tracing: Tracing;
  readonly #queues = new WeakMap<ServedModel, Queue>();

  constructor(models: ModelRepository, metrics: Metrics, tracing: Tracing) {
    this.#models = models;
    this.#metrics = metrics;
    this.#tracing = tracing;
  }

  /** The model, when it can be asked for tensors. Throws `E_MODEL_NOT_FOUND`, `E_TASK`. */
  model(name: string, version?: string): ServedModel {
    return version === undefined ? this.#models.getFor(name, 'infer') : this.#models.get(name, version);
  }

  /** How requests for a model are put together; undefined when each runs alone. */
  policyOf(model: ServedModel): BatchPolicy | undefined {
    return model.description && batches(model, model.description) ? policyOf(model) : undefined;
  }

  /** Requests that wait for a model. */
  waiting(model: ServedModel): number {
    return this.#queues.get(model)?.scheduler.waiting ?? 0;
  }

  /** Batches under way, and whether the next request would be refused. */
  load(model: ServedModel): { readonly running: number; readonly full: boolean } {
    const { running = 0, full = false } = this.#queues.get(model)?.scheduler ?? {};
    return { running, full };
  }

  /** Of a model with several variants: of all of them together. */
  statistics(model: ServedModel): ModelStatisticsMessage {
    const counted = this.#models.variantsOf(model).flatMap((variant) => this.#queues.get(variant)?.statistics ?? []);
    return Statistics.sumOf(counted).message(model.identity.name, model.identity.version);
  }

  /** Throws `E_INPUT` and `E_REQUEST` for a request that does not fit, `E_OVERLOADED`, `E_DEADLINE`, `E_UNAVAILABLE`, `E_MODEL_LOST`, the reason of the signal, and what the run throws. */
  infer(model: ServedModel, request: InferRequest, options: InferOptions = {}): Promise<Inference> {
    return this.#tracing.during((stage) => this.#infer(model, request, options, stage));
  }

  async #infer(model: ServedModel, request: InferRequest, { signal, client, timeoutMs }: InferOptions, stage: Stage): Promise<Inference> {
    const { scheduler, statistics } = this.#queueOf(model);
    const started = scheduler.now();
    try {
      const { description } = model;
      if (!description || model.state !== 'READY') throw new PenjingError('E_UNAVAILABLE', `model ${model.identity.name} is not ready: ${model.reason}`, { hint: 'Ask again in a moment; its /ready tells when.', details: { retryAfter: 1 } });
      const feeds = feedsOf(request, description);
      const rows = batches(model, description) ? rowsOf(feeds.inputs) : undefined;
      const wanted = scheduleOf(request.parameters, policyOf(model).levels);
      const wait = Math.min(timeoutMs ?? Infinity, wanted.timeoutMs ?? Infinity);
      const done = await scheduler.submit({
        value: { ...feeds, rows: rows ?? 1 }, rows: rows ?? 1, bucket: rows === undefined ? undefined : bucketOf(feeds.inputs, feeds.outputs), level: wanted.level, client, signal,
        deadline: wait < LONGEST_MS ? started + wait : undefined,
      });
      statistics.answered({ rows: rows ?? 1, totalMs: scheduler.now() - started, queuedMs: done.queuedMs });
      this.#metrics.queueSeconds.observe({ model: model.identity.name }, done.queuedMs / 1000);
      const facts = { 'penjing.model': model.identity.name, 'penjing.version': model.identity.version, ...(model.variant !== undefined && { 'penjing.variant': model.variant }) };
      stage('queue', done.queuedMs, facts, performance.now() - done.runMs);
      stage('infer', done.result.computeMs, { ...facts, 'penjing.batch.rows': done.batchRows, 'penjing.batch.requests': done.batchRequests });
      return { response: responseOf(model, request, feeds.outputs, done), timings: { queuedMs: done.queuedMs, computeMs: done.result.computeMs, batchRows: done.batchRows, batchRequests: done.batchRequests } };
    } catch (error) {
      statistics.failed(scheduler.now() - started);
      this.#countRefusal(model, error);
      throw error;
    }
  }

  #countRefusal(model: ServedModel, error: unknown): void {
    const cause = isPenjingError(error) ? ({ E_OVERLOADED: 'overloaded', E_DEADLINE: 'deadline', E_UNAVAILABLE: 'unavailable' } as const)[error.code as string] : undefined;
    if (cause) this.#metrics.refused.inc({ model: model.identity.name, cause });
  }

  #queueOf(model: ServedModel): Queue {
    const known = this.#queues.get(model);
    if (known) return known;
    const statistics = new Statistics();
    const run = async (asked: readonly Asked[], { rows, signal }: { readonly rows: number; readonly signal: Leaving | undefined }): Promise<Got[]> => {
      const started = performance.now();
      const inputs = joinTensors(asked.map((one) => one.inputs));
      const joinMs = performance.now() - started;
      const outputs = asked[0]!.outputs;
      const got = await model.call('infer', { inputs, ...(outputs && { outputs }) }, { signal });
      this.#metrics.batchRows.observe({ model: model.identity.name }, rows);
      this.#metrics.computeSeconds.observe({ model: model.identity.name }, got.computeMs / 1000);
      const parts = splitTensors(got.outputs, asked.map((one) => one.rows));
      statistics.executed({ rows, joinMs, computeMs: got.computeMs, restMs: Math.max(0, performance.now() - started - joinMs - got.computeMs) });
      return parts.map((part) => ({ outputs: part, computeMs: got.computeMs }));
    };
    const queue = { scheduler: new BatchScheduler<Asked, Got>(run, policyOf(model)), statistics };
    this.#queues.set(model, queue);
    return queue;
  }
}

function policyOf({ identity: { options: { batching, maxQueue } } }: ServedModel): BatchPolicy {
  const { maxBatch, maxDelayMs, preferred, lanes, priorities } = batching;
  return { maxBatch, maxDelayMs, preferred, lanes, maxQueue, levels: priorities };
}

function batches({ identity: { options: { batching } } }: ServedModel, description: ModelDescription): boolean {
  return batching.maxBatch > 1 && (batching.enabled === 'on' || (batching.enabled === 'auto' && hasBatchAxis(description)));
}

/** `priority` (1 is the most urgent, 0 the default) and `timeout` (microseconds); stateful sequences are not served. */
function scheduleOf(parameters: V2Parameters = {}, levels: number): { readonly level: number | undefined; readonly timeoutMs: number | undefined } {
  const { priority = 0, timeout = 0, sequence_id: sequence = 0 } = parameters;
  if (sequence !== 0 && sequence !== '') throw new PenjingError('E_UNSUPPORTED', 'the request belongs to a sequence, and no model here keeps state between requests', { hint: 'Leave out sequence_id.' });
  if (typeof priority !== 'number' || !Number.isInteger(priority) || priority < 0 || priority > levels) throw new PenjingError('E_REQUEST', `priority is ${String(priority)}`, { hint: `It is a whole number from 1, the most urgent, to ${levels}, or 0 for the default.`, details: { param: 'priority' } });
  if (typeof timeout !== 'number' || !(timeout >= 0)) throw new PenjingError('E_REQUEST', `timeout is ${String(timeout)}`, { hint: 'It is a number of microseconds, or 0 for none.', details: { param: 'timeout' } });
  return { level: priority === 0 ? undefined : priority - 1, timeoutMs: timeout === 0 ? undefined : timeout / 1000 };
}

function responseOf({ identity: { name, version }, description }: ServedModel, { id }: InferRequest, wanted: readonly string[] | undefined, { result }: Done<Got>): InferResponse {
  const names = wanted ?? description!.outputs.map((output) => output.name).filter((output) => Object.hasOwn(result.outputs, output));
  return { modelName: name, modelVersion: version, ...(id !== undefined && { id }), outputs: names.map((output) => ({ name: output, tensor: tensorOf(output, result.outputs[output]) })) };
}

function tensorOf(name: string, wire: WireTensor | undefined): DenseTensor | StringTensor {
  if (!wire) throw new PenjingError('E_ENGINE', `the model gave no output ${name}`);
  const { dtype, shape, data } = wire;
  return data instanceof ArrayBuffer ? new DenseTensor(dtype, shape, new Uint8Array(data)) : new StringTensor(shape, data.map(encodeText));
}
