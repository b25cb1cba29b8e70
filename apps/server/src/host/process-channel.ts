/** A model in a child process: what a native crash or a leak takes with it is that model alone, and ending it gives all memory back. */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Channel } from './channel.js';
import { entryOf } from './entry.js';
import { frameWriter } from './frame-writer.js';
import { FrameReader } from './frames.js';
import type { FromModel } from './protocol.js';

/** A process whose pipe is closed can answer nothing any more; it is given so long to end by itself, so that how it ended can be told. */
const WITHOUT_PIPE_MS = 1_000;

/** `start` is `spawn`, but for tests. */
export function processChannel(name: string, start: (command: string, words: readonly string[], options: SpawnOptions) => ChildProcess = spawn): Channel {
  const { url, execArgv } = entryOf('model-process');
  // A pipe of our own rather than Node's channel, which takes four times as long for a small tensor (its serializer, and a buffer and a system call for each message). 'overlapped' is for Windows.
  const child = start(process.execPath, [...execArgv, fileURLToPath(url), name], { stdio: ['ignore', 'inherit', 'inherit', 'overlapped'] });
  // Without a number there is no process.
  const kill = (): void => void (child.pid !== undefined && child.kill('SIGKILL'));
  let ended = false;
  const listeners: ((how: string) => void)[] = [];
  const end = (how: string): void => {
    if (ended) return;
    ended = true;
    for (const listener of listeners) listener(how);
  };
  // Before anything that may throw: without a listener the error of a process that did not start ends the server.
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) => end(signal ? `it was ended by ${signal}` : `it ended with exit code ${code}`));
  // Where file descriptors ran out there are no streams at all.
  const pipe = (child.stdio as typeof child.stdio | undefined)?.[3] as Socket | null | undefined;
  // Told by the end of the process.
  pipe?.on('error', () => {});
  pipe?.on('close', () => {
    if (!ended) setTimeout(kill, WITHOUT_PIPE_MS).unref();
  });
  // After the polling of sockets: what came by all of them goes in one write.
  const write = pipe && frameWriter(pipe, setImmediate);
  return {
    pid: child.pid,
    post(message) {
      if (!ended) write?.(message);
    },
    onMessage(listener) {
      const reader = new FrameReader<FromModel>(listener);
      pipe?.on('data', (chunk: Buffer) => reader.push(chunk));
    },
    onEnd: (listener) => void listeners.push(listener),
    kill,
  };
}
