/** Entry of a model's child process. */
import { serveModel } from './serve-model.js';
import type { ToModel } from './protocol.js';

process.title = `penjing-model ${process.argv[2] ?? ''}`;
// Ctrl-C and systemd tell the whole group; the server alone decides when a model ends, so that nothing in flight is lost.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
// Whoever started it is gone.
process.on('disconnect', () => process.exit());

serveModel({
  onMessage: (listener) => void process.on('message', (message) => listener(message as ToModel)),
  post: (message) => void (process.connected && process.send!(message, undefined, undefined, () => {})),
  end: () => process.exit(),
});
