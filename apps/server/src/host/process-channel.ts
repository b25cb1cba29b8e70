/** A model in a child process: what a native crash or a leak takes with it is that model alone, and ending it gives all memory back. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Channel } from './channel.js';
import { entryOf } from './entry.js';
import type { FromModel } from './protocol.js';

export function processChannel(name: string): Channel {
  const { url, execArgv } = entryOf('model-process');
  // 'advanced' carries typed arrays; both ends are ours, and no client's bytes reach the deserializer but inside of them.
  const child = fork(fileURLToPath(url), [name], { execArgv: [...execArgv], serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let ended = false;
  const listeners: ((how: string) => void)[] = [];
  const end = (how: string): void => {
    if (ended) return;
    ended = true;
    for (const listener of listeners) listener(how);
  };
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) => end(signal ? `it was ended by ${signal}` : `it ended with exit code ${code}`));
  return {
    pid: child.pid,
    post(message) {
      if (!ended && child.connected) child.send(message, () => {});
    },
    onMessage: (listener) => void child.on('message', (message) => listener(message as FromModel)),
    onEnd: (listener) => void listeners.push(listener),
    kill: () => void child.kill('SIGKILL'),
  };
}
