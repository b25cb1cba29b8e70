/** Sessions of ONNX Runtime behind a port; the only file that imports it. */
import * as ort from 'onnxruntime-node';
import { createHandlers } from './handlers.js';
import type { RunGate } from './run-gate.js';
import { serve, type ServerPort } from './serve.js';
import { SessionTable } from './session-table.js';

export function serveSessions(port: ServerPort, gate: RunGate): void {
  const sessions = new SessionTable(ort, gate);
  serve(port, createHandlers(sessions), () => sessions.closeAll());
}
