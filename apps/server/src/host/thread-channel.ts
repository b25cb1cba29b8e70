/** A model in a worker thread of the server's own process: for programs that embed the server. */
import { Worker } from 'node:worker_threads';
import type { Channel } from './channel.js';
import { entryOf } from './entry.js';
import type { FromModel } from './protocol.js';

export function threadChannel(name: string): Channel {
  const { url, execArgv } = entryOf('model-thread');
  // A worker takes no --import: TypeScript is loaded by code without a file.
  const loader = execArgv.find((word) => word.startsWith('file:'));
  const worker = loader
    ? new Worker(`import(${JSON.stringify(new URL('esm/api/index.mjs', loader).href)}).then(({ tsImport }) => tsImport(${JSON.stringify(url.href)}, ${JSON.stringify(import.meta.url)}))`, { eval: true, name, execArgv: ['--conditions=@penjing/source'] })
    : new Worker(url, { name });
  let ended = false;
  let failure: string | undefined;
  worker.on('error', (error) => (failure = error.message));
  worker.on('exit', () => (ended = true));
  return {
    pid: undefined,
    post(message, transfer = []) {
      if (!ended) worker.postMessage(message, transfer);
    },
    onMessage: (listener) => void worker.on('message', (message) => listener(message as FromModel)),
    onEnd: (listener) => void worker.on('exit', (code) => listener(failure ?? `it ended with exit code ${code}`)),
    // A thread inside of ONNX Runtime cannot be ended by force: it would take the process with it. It ends by itself after its run.
    kill: () => {},
  };
}
