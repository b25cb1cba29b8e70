/** The command inside the calling process, with what it prints; for tests, which start a process only where that matters. */
import { Writable } from 'node:stream';
import { runCli } from '../run-cli.js';

export interface Captured {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCaptured(...argv: string[]): Promise<Captured> {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr'): NodeJS.WriteStream =>
    new Writable({ write: (chunk, _encoding, done) => ((text[name] += String(chunk)), done()) }) as unknown as NodeJS.WriteStream;
  const code = await runCli(argv, { stdout: stream('stdout'), stderr: stream('stderr') });
  return { code, ...text };
}
