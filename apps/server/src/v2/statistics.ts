/** What has been asked of a model and how long it took, as the statistics extension counts it. */
import type { BatchStatisticsMessage, DurationMessage, ModelStatisticsMessage } from '@penjing/graph-io/v2';

/** One request that was answered, in milliseconds. */
export interface Answered {
  readonly rows: number;
  readonly totalMs: number;
  readonly queuedMs: number;
}

/** One run of the model. */
export interface Executed {
  readonly rows: number;
  /** Putting requests together. */
  readonly joinMs: number;
  /** In the model's process. */
  readonly computeMs: number;
  /** The rest: the ways there and back, and taking results apart. */
  readonly restMs: number;
}

/** Different sizes of batches that are counted one by one; the rest counts as the largest of them. */
const MOST_SIZES = 256;

class Duration {
  count = 0;
  ms = 0;

  add(ms: number): void {
    this.count++;
    this.ms += ms;
  }

  include({ count, ms }: Duration): void {
    this.count += count;
    this.ms += ms;
  }

  message(): DurationMessage {
    return { count: this.count, ns: Math.round(this.ms * 1e6) };
  }
}

interface Batch {
  readonly input: Duration;
  readonly infer: Duration;
  readonly output: Duration;
}

export class Statistics {
  /** Of all variants of a model together. */
  static sumOf(all: readonly Statistics[]): Statistics {
    const sum = new Statistics();
    for (const one of all) sum.#include(one);
    return sum;
  }

  readonly #success = new Duration();
  readonly #fail = new Duration();
  readonly #queue = new Duration();
  readonly #input = new Duration();
  readonly #infer = new Duration();
  readonly #output = new Duration();
  readonly #batches = new Map<number, Batch>();
  #last = 0;
  #rows = 0;
  #executions = 0;

  answered({ rows, totalMs, queuedMs }: Answered): void {
    this.#last = Date.now();
    this.#rows += rows;
    this.#success.add(totalMs);
    this.#queue.add(queuedMs);
  }

  failed(totalMs: number): void {
    this.#last = Date.now();
    this.#fail.add(totalMs);
  }

  executed({ rows, joinMs, computeMs, restMs }: Executed): void {
    this.#executions++;
    const batch = this.#batchOf(rows);
    for (const [whole, part, ms] of [[this.#input, batch.input, joinMs], [this.#infer, batch.infer, computeMs], [this.#output, batch.output, restMs]] as const) {
      whole.add(ms);
      part.add(ms);
    }
  }

  message(name: string, version: string): ModelStatisticsMessage {
    const batchStats = [...this.#batches].sort(([a], [b]) => a - b).map(([batchSize, { input, infer, output }]): BatchStatisticsMessage => ({
      batchSize, computeInput: input.message(), computeInfer: infer.message(), computeOutput: output.message(),
    }));
    return {
      name, version, lastInference: this.#last, inferenceCount: this.#rows, executionCount: this.#executions,
      inferenceStats: {
        success: this.#success.message(), fail: this.#fail.message(), queue: this.#queue.message(), computeInput: this.#input.message(), computeInfer: this.#infer.message(), computeOutput: this.#output.message(),
      },
      batchStats,
    };
  }

  #include(other: Statistics): void {
    this.#last = Math.max(this.#last, other.#last);
    this.#rows += other.#rows;
    this.#executions += other.#executions;
    this.#success.include(other.#success);
    this.#fail.include(other.#fail);
    this.#queue.include(other.#queue);
    this.#input.include(other.#input);
    this.#infer.include(other.#infer);
    this.#output.include(other.#output);
    for (const [rows, { input, infer, output }] of other.#batches) {
      const batch = this.#batchOf(rows);
      batch.input.include(input);
      batch.infer.include(infer);
      batch.output.include(output);
    }
  }

  #batchOf(rows: number): Batch {
    const size = this.#batches.has(rows) || this.#batches.size < MOST_SIZES ? rows : Math.max(...this.#batches.keys());
    const batch = this.#batches.get(size) ?? { input: new Duration(), infer: new Duration(), output: new Duration() };
    this.#batches.set(size, batch);
    return batch;
  }
}

/** A message with the names of its fields as JSON has them: `inferenceCount` is `inference_count`. */
export function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), snakeCase(inner)]));
}
