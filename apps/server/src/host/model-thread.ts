/** Entry of a model's worker thread. */
import { parentPort } from 'node:worker_threads';
import { serveModel } from './serve-model.js';
import type { ToModel } from './protocol.js';

if (!parentPort) throw new Error('model-thread runs in a worker thread only');
const port = parentPort;
serveModel({
  onMessage: (listener) => void port.on('message', (message) => listener(message as ToModel)),
  post: (message) => port.postMessage(message),
  // Of a thread: the process goes on.
  end: () => process.exit(),
});
