/** What a worker can do, by name: jobs name a handler, never a module. */
import type { Json } from '@penjing/parallel';
import type { SharedRoots } from './shared-roots.js';

export interface HandlerContext {
  readonly roots: SharedRoots;
  /** Threads that one job may use. */
  readonly threads: number;
  readonly signal: AbortSignal;
}

/** Keeps what is dear to open between jobs: threads, a loaded model. The calling thread only schedules. */
export interface Handler extends AsyncDisposable {
  run(spec: Json, context: HandlerContext): Promise<Json>;
}
