/** Starts a worker thread from a module beside the caller: the built file, or in tests the TypeScript source. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * `from` is the caller's `import.meta.url`, `name` a sibling module without its extension (`'./pool-worker'`). Built
 * packages are flat, so the module must be an entry of its own in tsup.config.ts.
 */
export function spawnWorker(from: string, name: string, options: WorkerOptions = {}): Worker {
  // Always the ES module: a CommonJS build turns `import()` into `require`, which takes no URL.
  const extension = new URL(from).pathname.endsWith('.ts') ? '.ts' : '.js';
  const entry = new URL(name + extension, from);
  if (extension !== '.ts') return new Worker(entry, options);
  // Code without a file resolves names from the current folder, which may be anywhere.
  const loader = new URL('dist/esm/api/index.mjs', pathToFileURL(createRequire(from).resolve('tsx/package.json'))).href;
  const bootstrap = `import(${JSON.stringify(loader)}).then(({ tsImport }) => tsImport(${JSON.stringify(entry.href)}, ${JSON.stringify(from)}))`;
  return new Worker(bootstrap, { ...options, eval: true, execArgv: ['--conditions=@penjing/source'] });
}
