/** Entry of a session worker, and the only file that imports ONNX Runtime. */
import { parentPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { createHandlers } from './worker/handlers.js';
import { serve } from './worker/serve.js';
import { SessionTable } from './worker/session-table.js';

if (!parentPort) throw new Error('session-worker runs in a worker thread only');
const sessions = new SessionTable(ort);
serve(parentPort, createHandlers(sessions), () => sessions.closeAll());
