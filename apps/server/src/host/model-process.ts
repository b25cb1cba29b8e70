/** Entry of a model's child process. */
import { Socket } from 'node:net';
import { frameWriter } from './frame-writer.js';
import { FrameReader } from './frames.js';
import { serveModel } from './serve-model.js';
import type { ToModel } from './protocol.js';

process.title = `penjing-model ${process.argv[2] ?? ''}`;
// Ctrl-C and systemd tell the whole group; the server alone decides when a model ends, so that nothing in flight is lost.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});

/** The pipe that the server made beside stdin, stdout and stderr. */
const pipe = new Socket({ fd: 3, readable: true, writable: true });
pipe.on('error', () => {});
// Whoever started it is gone.
pipe.on('close', () => process.exit());

serveModel({
  onMessage(listener) {
    const reader = new FrameReader<ToModel>(listener);
    pipe.on('data', (chunk: Buffer) => reader.push(chunk));
  },
  // At once: the next run would make the answer of this one wait.
  post: frameWriter(pipe, queueMicrotask),
  end: () => process.exit(),
});
