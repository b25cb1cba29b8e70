/** Writes frames to a stream, those of one turn together. */
import type { Writable } from 'node:stream';
import { encodeFrame } from './frames.js';
import type { FromModel, ToModel } from './protocol.js';

/** Up to here copying parts into one buffer is cheaper than a write of many. */
const JOIN_BYTES = 131_072;

/** `later` says when a turn is over. */
export function frameWriter(stream: Writable, later: (flush: () => void) => void): (message: ToModel | FromModel) => void {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): void => {
    const parts = waiting;
    const small = bytes <= JOIN_BYTES;
    waiting = [];
    bytes = 0;
    // The other end may have gone in the meantime: who listens to its end knows.
    if (!stream.writable) return;
    if (small) return void stream.write(parts.length === 1 ? parts[0] : Buffer.concat(parts));
    stream.cork();
    for (const part of parts) stream.write(part);
    stream.uncork();
  };
  return (message) => {
    const parts = encodeFrame(message);
    if (waiting.length === 0) later(flush);
    for (const part of parts) {
      waiting.push(part);
      bytes += part.length;
    }
  };
}
