/** `penjing serve` as a process of its own, from the sources, and what the system says about it. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type ProcessOptions, type Running, startPenjing } from './penjing-process.js';

export interface Served extends Running {
  readonly url: string;
  /** With --grpc-port. */
  readonly grpc: string | undefined;
}

/** Resolves when it says that it is ready. */
export async function serve(argv: readonly string[], options: ProcessOptions = {}): Promise<Served> {
  const running = startPenjing(['serve', ...argv, '--port', '0'], { milliseconds: 600_000, ...options });
  let said = '';
  running.process.stderr!.on('data', (chunk) => (said += String(chunk)));
  for (const until = Date.now() + 120_000; !/^ready: /m.test(said); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (running.process.exitCode !== null || Date.now() > until) throw new Error(`penjing serve is not ready: ${said}`);
  }
  const found = (what: RegExp): string | undefined => what.exec(said)?.[1];
  return { ...running, url: found(/listening on ([^\s,]+)/)!, grpc: found(/gRPC on ([^\s,]+)/) };
}

/** It ends by itself, with code 0. */
export async function endServed({ process: child, ended }: Running): Promise<void> {
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  if (code !== 0) throw new Error(`penjing serve ended with ${code}: ${stderr}`);
}

export interface SystemProcess {
  readonly pid: number;
  readonly parent: number;
  /** Kilobytes. */
  readonly rss: number;
  readonly command: string;
}

/** A process and all that it started. */
export async function processTree(root: number): Promise<readonly SystemProcess[]> {
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'pid=,ppid=,rss=,args=']);
  const all = stdout.split('\n').flatMap((line): SystemProcess[] => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)$/.exec(line);
    return match ? [{ pid: Number(match[1]), parent: Number(match[2]), rss: Number(match[3]), command: match[4]! }] : [];
  });
  const tree = all.filter(({ pid }) => pid === root);
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

/** The process of a model; undefined while there is none. */
export async function modelProcess(root: number, model: string): Promise<number | undefined> {
  return (await processTree(root)).find(({ command }) => command.startsWith(`penjing-model ${model}`) || new RegExp(`model-process\\.[jt]s ${model}\\b`).test(command))?.pid;
}

/** Bytes in memory of a whole tree that no other tree shares (PSS where the system tells it). */
export async function residentBytes(root: number): Promise<number> {
  let sum = 0;
  for (const { pid, rss } of await processTree(root)) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
    sum += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? rss) * 1024;
  }
  return sum;
}
