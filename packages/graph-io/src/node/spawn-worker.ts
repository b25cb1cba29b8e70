/** Starts a worker thread from a module beside the caller: the built file, or in tests the TypeScript source. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * `from` is the caller's `import.meta.url`, `name` a sibling module without its extension (`'./pool-worker'`). Built
 * packages are flat, so the module must be an entry of its own in tsup.config.ts.
 */
export function spawnWorker(from: string, name: string, options: WorkerOptions = {}): Worker {
  const extension = /\.[a-z]+$/.exec(new URL(from).pathname)?.[0] ?? '.js';
  const entry = new URL(name + extension, from);
  if (extension !== '.ts') return new Worker(entry, options);
  const bootstrap = `import('tsx/esm/api').then(({ tsImport }) => tsImport(${JSON.stringify(entry.href)}, ${JSON.stringify(from)}))`;
  return new Worker(bootstrap, { ...options, eval: true, execArgv: ['--conditions=@penjing/source'] });
}
