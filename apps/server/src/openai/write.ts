/** Has a model write: waits for its turn, counts what comes, and tells how long it all took. */
import type { ServerContext } from '../context.js';
import type { TextEvent, TextPrompt, Written, WritingOptions } from '../host/protocol.js';
import type { ServedModel } from '../models/served-model.js';
import type { Stage } from '../operate/tracing.js';

export interface WriteRequest {
  readonly model: string;
  /** They are written at the same time; events tell which by its number. */
  readonly prompts: readonly TextPrompt[];
  /** Texts for each. */
  readonly choices: number;
  readonly options: WritingOptions;
  readonly signal: AbortSignal;
  /** Told at once which model, or variant of it, writes. */
  readonly onModel?: ((model: ServedModel) => void) | undefined;
  /** `choice` counts through all texts of all prompts. */
  readonly onEvent?: ((event: TextEvent) => void) | undefined;
}

/** Milliseconds. */
export interface WriteTimings {
  readonly queue: number;
  readonly prefill: number;
  readonly decode: number;
}

export interface WriteResult {
  /** By prompt. */
  readonly written: readonly Written[];
  readonly timings: WriteTimings;
}

/** Throws what the model throws, `E_OVERLOADED` when too many wait, `E_MODEL_NOT_FOUND`, `E_TASK`. */
export function write(context: Pick<ServerContext, 'models' | 'metrics' | 'tracing'>, request: WriteRequest): Promise<WriteResult> {
  return context.tracing.during((stage) => writeTraced(context, request, stage));
}

async function writeTraced({ models, metrics }: Pick<ServerContext, 'models' | 'metrics'>, { model: name, prompts, choices, options, signal, onModel, onEvent }: WriteRequest, stage: Stage): Promise<WriteResult> {
  const model = models.getFor(name, 'write');
  onModel?.(model);
  const labels = { model: name };
  const started = performance.now();
  let queue = 0;
  let first: number | undefined;
  const work = async (): Promise<WriteResult> => {
    const seen = (prompt: number) => (event: TextEvent): void => {
      first ??= performance.now();
      onEvent?.({ ...event, choice: prompt * choices + event.choice });
    };
    const written = await allOrNone(signal, prompts, (prompt, i, either) => model.call('write', { prompt, choices, options }, { signal: either, onEvent: seen(i) }));
    const tokens = written.reduce((sum, { texts }) => sum + texts.reduce((part, text) => part + text.tokens, 0), 0);
    const promptTokens = written.reduce((sum, { promptTokens: read }) => sum + read, 0);
    metrics.promptTokens.inc(labels, promptTokens);
    metrics.writtenTokens.inc(labels, tokens);
    if (first !== undefined) {
      metrics.firstTokenSeconds.observe(labels, (first - started) / 1000);
      if (tokens > 1) metrics.tokenSeconds.observe(labels, (performance.now() - first) / 1000 / (tokens - 1));
    }
    const [prefill, decode] = [Math.max(...written.map(({ prefillMs }) => prefillMs)), Math.max(...written.map(({ decodeMs }) => decodeMs))];
    const facts = { 'penjing.model': name, ...(model.variant !== undefined && { 'penjing.variant': model.variant }) };
    const ended = performance.now();
    stage('prefill', prefill, { ...facts, 'gen_ai.usage.input_tokens': promptTokens }, ended - decode);
    stage('decode', decode, { ...facts, 'gen_ai.usage.output_tokens': tokens }, ended);
    return { written, timings: { queue, prefill, decode } };
  };
  try {
    return await model.admission.run(work, {
      signal,
      onBegin(waited) {
        queue = waited;
        stage('queue', waited, { 'penjing.model': name });
        metrics.queueSeconds.observe(labels, waited / 1000);
      },
    });
  } catch (error) {
    const { code = 'E_INTERNAL' } = error as { readonly code?: string };
    metrics.refused.inc({ ...labels, cause: signal.aborted ? 'cancelled' : String(code).slice(2).toLowerCase() });
    throw error;
  }
}

/** One that fails ends the others. */
async function allOrNone<T, R>(signal: AbortSignal, items: readonly T[], work: (item: T, index: number, signal: AbortSignal) => Promise<R>): Promise<R[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const all = items.map((item, i) => work(item, i, either));
  try {
    return await Promise.all(all);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(all);
    throw error;
  }
}

/** As browsers and tools read it. */
export function timingHeader(timings: Readonly<Record<string, number>>): Record<string, string> {
  return { 'Server-Timing': Object.entries(timings).map(([name, ms]) => `${name};dur=${ms.toFixed(2)}`).join(', ') };
}

/** A signal that the caller can fire too: for replies whose reader goes away. */
export function leavable(signal: AbortSignal): { readonly signal: AbortSignal; readonly leave: () => void } {
  const left = new AbortController();
  return { signal: AbortSignal.any([signal, left.signal]), leave: () => left.abort(new DOMException('the client has left', 'AbortError')) };
}
