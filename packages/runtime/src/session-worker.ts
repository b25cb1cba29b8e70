/** Entry of a session worker, and the only file that imports ONNX Runtime. */
import { parentPort, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { createHandlers } from './worker/handlers.js';
import { RunGate } from './worker/run-gate.js';
import { serve } from './worker/serve.js';
import { SessionTable } from './worker/session-table.js';

if (!parentPort) throw new Error('session-worker runs in a worker thread only');
const { gate } = workerData as { readonly gate: SharedArrayBuffer };
const sessions = new SessionTable(ort, new RunGate(gate));
serve(parentPort, createHandlers(sessions), () => sessions.closeAll());
