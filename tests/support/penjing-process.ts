/** The command line as a process of its own: for tests of exit codes, signals, limits and what is left on disk. From the sources, or as it was built where `PENJING_BUILT` is 1, as in `npm test`, which builds first. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const cli = (path: string): string => fileURLToPath(new URL(`../../apps/cli/${path}`, import.meta.url));
// By its file: the process may stand in a folder from which the package cannot be found.
const LOADER = new URL('dist/esm/index.mjs', pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json'))).href;
/** Sources take 2 s to load, in every thread, and the built command 0.3 s; more than a thousand are started in a whole run. */
export const command: readonly string[] = process.env['PENJING_BUILT'] === '1' ? [cli('dist/main.js')] : ['--import', LOADER, '--conditions=@penjing/source', cli('src/main.ts')];

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** True when it was stopped for its time or its memory. */
  readonly stopped: 'time' | 'memory' | undefined;
}

export interface ProcessOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** It is killed after so long. */
  readonly milliseconds?: number;
  /** It is killed when its resident memory passes this. */
  readonly bytes?: number;
  readonly nodeOptions?: readonly string[];
  /** What it is started by: `ip netns exec NAME`. */
  readonly under?: readonly string[];
}

export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
}

export function startPenjing(argv: readonly string[], options: ProcessOptions = {}): Running {
  const { cwd, env = {}, milliseconds = 120_000, bytes, nodeOptions = [], under = [] } = options;
  const [program, ...args] = [...under, process.execPath, ...nodeOptions, ...command, ...argv];
  const child = spawn(program!, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (text.stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (text.stderr += String(chunk)));
  let stopped: Ended['stopped'];
  const stop = (why: 'time' | 'memory'): void => {
    stopped ??= why;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => stop('time'), milliseconds);
  const watch = bytes === undefined ? undefined : setInterval(() => residentBytes(child.pid) > bytes && stop('memory'), 20);
  const ended = once(child, 'close').then(([code, signal]) => {
    clearTimeout(timer);
    clearInterval(watch);
    return { code: code as number | null, signal: signal as NodeJS.Signals | null, ...text, stopped };
  });
  return { process: child, ended };
}

export function penjing(argv: readonly string[], options: ProcessOptions = {}): Promise<Ended> {
  return startPenjing(argv, options).ended;
}

/** 0 where the system does not tell. */
function residentBytes(pid: number | undefined): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
