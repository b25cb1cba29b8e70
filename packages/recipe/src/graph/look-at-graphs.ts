/** What graphs a model folder has and what is in them, read in a worker thread of its own: the caller may be a server. */
import type { Worker } from 'node:worker_threads';
import { PenjingError, type TaskOptions } from '@penjing/core';
import { spawnWorker } from '@penjing/graph-io/node';
import type { GraphDescription } from './describe-graph.js';

/** A graph file of a model. */
export interface GraphFile {
  /** Relative to the folder: `onnx/model_q4.onnx`. */
  readonly name: string;
  /** `q4`; `fp32` for the one without a suffix. */
  readonly variant: string;
  /** With its external data. */
  readonly bytes: number;
  /** The steps that made it, as one word each with its options: `quantize bits 4`. */
  readonly steps: readonly string[];
  /** Whether a squeezed graph passed, and what it lost. */
  readonly gate?: string;
  readonly records: number;
}

export type GraphQuestion = { readonly kind: 'list'; readonly path: string } | { readonly kind: 'describe'; readonly path: string; readonly graph: string | undefined };

export interface DescribedGraph extends GraphDescription {
  readonly name: string;
}

export type GraphAnswer = { readonly list: readonly GraphFile[] } | { readonly description: DescribedGraph } | { readonly error: { readonly code: `E_${string}`; readonly message: string; readonly hint: string | undefined } };

/** A file that needs more than this to be looked at is not looked at: the thread ends, not the process. */
const MAX_HEAP_MB = 1024;

/** Every graph of a model folder, full precision first; of an ONNX file itself. Throws what reading throws. */
export async function listGraphs(path: string, options: TaskOptions = {}): Promise<readonly GraphFile[]> {
  const answer = await ask({ kind: 'list', path }, options);
  return 'list' in answer ? answer.list : [];
}

/**
 * The operators of a graph, its weights, and the records of the steps that changed them; at most 20,000 operators. `graph` is a
 * name of {@link listGraphs}, the first when absent. Throws `E_NOT_FOUND` for another name, `E_WORKER` when the graph is too large to be read.
 */
export async function lookAtGraph(path: string, graph: string | undefined, options: TaskOptions = {}): Promise<DescribedGraph> {
  const answer = await ask({ kind: 'describe', path, graph }, options);
  if ('description' in answer) return answer.description;
  throw new PenjingError('E_WORKER', `the graphs of ${path} could not be read`);
}

async function ask(question: GraphQuestion, { signal }: TaskOptions): Promise<GraphAnswer> {
  signal?.throwIfAborted();
  const worker = spawnWorker(import.meta.url, './graph-worker', { name: 'penjing-graph', workerData: question, resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } });
  const abort = (): void => void worker.terminate();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const answer = await answerOf(worker);
    if ('error' in answer) throw new PenjingError(answer.error.code, answer.error.message, answer.error.hint === undefined ? {} : { hint: answer.error.hint });
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    void worker.terminate();
  }
}

function answerOf(worker: Worker): Promise<GraphAnswer> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', (cause) => reject(new PenjingError('E_WORKER', `the graph could not be looked at: ${cause.message}`, { cause })));
    worker.once('exit', () => reject(new PenjingError('E_WORKER', 'the thread that looks at the graph ended without an answer')));
  });
}
