/** A model in a child process: what a native crash or a leak takes with it is that model alone, and ending it gives all memory back. */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Channel } from './channel.js';
import { entryOf } from './entry.js';
import { frameWriter } from './frame-writer.js';
import { FrameReader } from './frames.js';
import type { FromModel } from './protocol.js';

/** A process whose pipe is closed can answer nothing any more; it is given so long to end by itself, so that how it ended can be told. */
const WITHOUT_PIPE_MS = 1_000;

export function processChannel(name: string): Channel {
  const { url, execArgv } = entryOf('model-process');
  // A pipe of our own rather than Node's channel, which takes four times as long for a small tensor (its serializer, and a buffer and a system call for each message). 'overlapped' is for Windows.
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url), name], { stdio: ['ignore', 'inherit', 'inherit', 'overlapped'] });
  const pipe = child.stdio[3] as unknown as Socket;
  let ended = false;
  const listeners: ((how: string) => void)[] = [];
  const end = (how: string): void => {
    if (ended) return;
    ended = true;
    for (const listener of listeners) listener(how);
  };
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) => end(signal ? `it was ended by ${signal}` : `it ended with exit code ${code}`));
  // Told by the end of the process.
  pipe.on('error', () => {});
  pipe.on('close', () => {
    if (!ended) setTimeout(() => child.kill('SIGKILL'), WITHOUT_PIPE_MS).unref();
  });
  // After the polling of sockets: what came by all of them goes in one write.
  const write = frameWriter(pipe, setImmediate);
  return {
    pid: child.pid,
    post(message) {
      if (!ended) write(message);
    },
    onMessage(listener) {
      const reader = new FrameReader<FromModel>(listener);
      pipe.on('data', (chunk: Buffer) => reader.push(chunk));
    },
    onEnd: (listener) => void listeners.push(listener),
    kill: () => void child.kill('SIGKILL'),
  };
}
