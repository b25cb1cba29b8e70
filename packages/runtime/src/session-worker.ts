/** Entry of a session worker. */
import { parentPort, workerData } from 'node:worker_threads';
import { RunGate } from './worker/run-gate.js';
import { serveSessions } from './worker/serve-sessions.js';

if (!parentPort) throw new Error('session-worker runs in a worker thread only');
const { gate } = workerData as { readonly gate: SharedArrayBuffer };
serveSessions(parentPort, new RunGate(gate));
