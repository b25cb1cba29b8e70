/** Starts stages and fronts as processes, and asks them how they are. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Running } from './penjing-process.js';
import type { FrontOrders, StageOrders } from './stage-child.js';

const CHILD = fileURLToPath(new URL('stage-child.ts', import.meta.url));
const LOADER = new URL('dist/esm/index.mjs', pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json'))).href;

export interface StageProcess extends AsyncDisposable {
  readonly address: string;
  readonly orders: StageOrders | FrontOrders;
  /** What it says of itself. */
  ask(): Promise<{ readonly underWay: number; readonly ready: boolean; readonly answered: number; readonly failed: number; readonly different: number }>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when the process is gone. */
  kill(): Promise<void>;
  residentBytes(): Promise<number>;
}

/** Resolves when it serves, or has reached the stages. */
export async function startStageProcess(orders: StageOrders | FrontOrders, under: readonly string[] = []): Promise<StageProcess> {
  const [command, ...args] = [...under, process.execPath, '--import', LOADER, '--conditions=@penjing/source', CHILD, JSON.stringify(orders)];
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit').then(([code]) => Promise.reject<never>(new Error(`the process ended with ${String(code)}`)));
  ended.catch(() => {});
  const message = (): Promise<Record<string, unknown>> => Promise.race([new Promise<Record<string, unknown>>((resolve) => child.once('message', (said) => resolve(said as Record<string, unknown>))), ended]);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  const { address } = (await message()) as { address: string };
  return {
    address, orders, kill,
    signal: (signal) => void child.kill(signal),
    async ask() {
      const said = message();
      child.send('?');
      return (await said) as Awaited<ReturnType<StageProcess['ask']>>;
    },
    async residentBytes() {
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024;
    },
    [Symbol.asyncDispose]: kill,
  };
}

/** When the stage of a command line and all stages after it take requests. */
export async function stageIsReady({ process: child, ended }: Running): Promise<void> {
  let said = '';
  await Promise.race([
    new Promise<void>((resolve) => child.stderr!.on('data', (chunk) => /^ready:/m.test((said += String(chunk))) && resolve())),
    ended.then(({ stderr }) => Promise.reject(new Error(`a stage ended: ${stderr}`))),
  ]);
}
