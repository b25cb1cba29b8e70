/** What is counted, for Prometheus: own names, with units. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ModelWork } from '../models/model-work.js';
import type { ModelRepository } from '../models/repository.js';
import type { ServedModel } from '../models/served-model.js';

/** From 1 ms to a minute. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Between tokens. */
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28];

/** A registry of its own: several servers may live in a process. */
export class Metrics {
  readonly registry = new Registry();
  readonly requests = new Counter({ name: 'penjing_http_requests_total', help: 'Requests that were answered, by route and status.', labelNames: ['route', 'method', 'status'] as const, registers: [this.registry] });
  readonly requestSeconds = this.#seconds('penjing_http_request_duration_seconds', 'From the head of the request to the head of the reply.', 'route');
  readonly queueSeconds = this.#seconds('penjing_queue_duration_seconds', 'How long requests waited for their model.', 'model');
  readonly firstTokenSeconds = this.#seconds('penjing_first_token_duration_seconds', 'From the request to its first token.', 'model');
  readonly tokenSeconds = new Histogram({ name: 'penjing_token_duration_seconds', help: 'Of a request, per token after the first.', labelNames: ['model'] as const, buckets: TOKEN_SECONDS, registers: [this.registry] });
  readonly promptTokens = this.#count('penjing_prompt_tokens_total', 'Tokens that were read.', 'model');
  readonly writtenTokens = this.#count('penjing_written_tokens_total', 'Tokens that were written.', 'model');
  readonly batchRows = new Histogram({ name: 'penjing_batch_rows', help: 'Rows of each run of a model for tensors.', labelNames: ['model'] as const, buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256], registers: [this.registry] });
  readonly computeSeconds = this.#seconds('penjing_compute_duration_seconds', 'Of each run of a model for tensors, in its process.', 'model');
  readonly refused = new Counter({ name: 'penjing_refused_requests_total', help: 'Requests that were refused, by cause.', labelNames: ['model', 'cause'] as const, registers: [this.registry] });

  readonly variantRequests = new Counter({ name: 'penjing_variant_requests_total', help: 'Requests of models with several variants, by the one that got them.', labelNames: ['model', 'variant'] as const, registers: [this.registry] });

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: 'penjing_server_' });
  }

  /** Of models, read when they are asked for. */
  watch(models: ModelRepository, work: (model: ServedModel) => ModelWork): void {
    const listed = (model: ServedModel): boolean => models.list().includes(model);
    // A variant below that nothing has loaded is cold on purpose: no 0 to be alarmed by.
    this.#gauge(models, 'penjing_model_ready', '1 for a model that is ready.', (model) => (model.wanted || listed(model) ? Number(model.state === 'READY') : undefined));
    this.#gauge(models, 'penjing_model_restarts', 'How often its process was started again.', ({ restarts }) => restarts);
    this.#gauge(models, 'penjing_model_memory_bytes', 'Resident memory of its process.', (model) => model.health()?.memory?.rss);
    this.#gauge(models, 'penjing_active_requests', 'Requests that the model works on; those that run as one batch are one.', (model) => work(model).active);
    this.#gauge(models, 'penjing_waiting_requests', 'Requests that wait for the model.', (model) => work(model).waiting);
    this.#gauge(models, 'penjing_ladder_step', 'How many steps below its best variant a model answers.', (model) => models.ladderOf(model)?.step);
  }

  #seconds<Label extends string>(name: string, help: string, label: Label): Histogram<Label> {
    return new Histogram({ name, help, labelNames: [label], buckets: SECONDS, registers: [this.registry] });
  }

  #count<Label extends string>(name: string, help: string, label: Label): Counter<Label> {
    return new Counter({ name, help, labelNames: [label], registers: [this.registry] });
  }

  #gauge(models: ModelRepository, name: string, help: string, read: (model: ServedModel) => number | undefined): void {
    new Gauge({
      name,
      help,
      labelNames: ['model', 'version', 'variant'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const model of models.list().flatMap((one) => models.variantsOf(one))) {
          const value = read(model);
          const { variant, identity: { name, version } } = model;
          if (value !== undefined) this.set({ model: name, version, ...(variant !== undefined && { variant }) }, value);
        }
      },
    });
  }
}
