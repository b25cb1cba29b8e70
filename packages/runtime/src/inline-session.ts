/** Sessions on the calling thread, behind the face of a session worker: for processes that hold one model and do nothing else. */
import { EventEmitter } from 'node:events';
import { RunGate } from './worker/run-gate.js';
import type { Reply, Request } from './worker/protocol.js';
import type { ServerPort } from './worker/serve.js';
import type { SessionThread } from './session-host.js';

/** Messages pass by reference: who sends a buffer gives it away, as between threads. ONNX Runtime is loaded with the first of these. */
export function inlineSession(gate: SharedArrayBuffer): SessionThread {
  const outward = new EventEmitter();
  const inward = new EventEmitter();
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    outward.emit('exit', 0);
  };
  const port: ServerPort = {
    on: (event, listener) => inward.on(event, listener),
    postMessage: (reply: Reply) => void outward.emit('message', reply),
    close: end,
  };
  const ready = import('./worker/serve-sessions.js').then(({ serveSessions }) => serveSessions(port, new RunGate(gate)));
  ready.catch((error: unknown) => {
    outward.emit('error', error instanceof Error ? error : new Error(String(error)));
    end();
  });
  return {
    inline: true,
    on: (event: string, listener: (value: never) => void) => outward.on(event, listener as (value: unknown) => void),
    postMessage: (request: Request) => void ready.then(() => inward.emit('message', request), () => {}),
    ref: () => {},
    unref: () => {},
    terminate: async () => (end(), 0),
  };
}
