/** The servers that `bench/serve.ts` measures, each started alone with one model in one process and one thread of ONNX Runtime unless it is said otherwise. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Side {
  readonly url: string;
  readonly process: ChildProcess;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface SideOptions {
  /** The file of the model, which is served under the name `model`. */
  readonly model: string;
  /** Rows of a batch; 1 is no batching. */
  readonly maxBatch: number;
  /** Threads of a run. */
  readonly threads?: number;
}

const root = join(import.meta.dirname, '..');
const DELAY_MS = 1;

/** Ours, as it is installed: `npm run build` before. */
export async function penjingSide({ model, maxBatch, threads = 1 }: SideOptions): Promise<Side> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-bench-'));
  const config = join(folder, 'server.json');
  const batching = maxBatch > 1 ? { enabled: 'on', maxBatch, maxDelayMs: 0 } : { enabled: 'off' };
  await writeFile(config, JSON.stringify({ models: [{ name: 'model', path: model, threads, maxQueue: 4096, batching }] }));
  return start(process.execPath, [join(root, 'apps/cli/dist/main.js'), 'serve', '--config', config, '--log-level', 'warn'], (port) => ['--port', String(port)], folder);
}

/** `peers/bench/serve_fastapi.py` on uvicorn. */
export function fastapiSide(python: string): (options: SideOptions) => Promise<Side> {
  return ({ model }) => start(python, [join(root, 'peers/bench/serve_fastapi.py'), model], (port) => [String(port)]);
}

/** MLServer with `peers/bench/mlserver_onnx.py`: one worker process, as it is by default. */
export function mlserverSide(mlserver: string): (options: SideOptions) => Promise<Side> {
  return async ({ model, maxBatch }) => {
    const folder = await mkdtemp(join(tmpdir(), 'penjing-bench-'));
    const [http, grpc, metrics] = [await freePort(), await freePort(), await freePort()];
    await writeFile(join(folder, 'settings.json'), JSON.stringify({ http_port: http, grpc_port: grpc, metrics_port: metrics, parallel_workers: 1, debug: false, access_log: false, metrics_endpoint: null }));
    await mkdir(join(folder, 'model'));
    await writeFile(join(folder, 'model/model-settings.json'), JSON.stringify({
      name: 'model', implementation: 'mlserver_onnx.OnnxModel', parameters: { uri: model },
      ...(maxBatch > 1 && { max_batch_size: maxBatch, max_batch_time: DELAY_MS / 1000 }),
    }));
    return start(mlserver, ['start', folder], () => [], folder, http, { PYTHONPATH: join(root, 'peers/bench') });
  };
}

async function start(command: string, args: readonly string[], portArgs: (port: number) => string[], folder?: string, given?: number, env: Readonly<Record<string, string>> = {}): Promise<Side> {
  const port = given ?? (await freePort());
  const child = spawn(command, [...args, ...portArgs(port)], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
  let said = '';
  child.stderr.on('data', (chunk) => (said = (said + String(chunk)).slice(-4000)));
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const { ok } = await fetch(`${url}/v2/models/model/ready`).catch(() => ({ ok: false }));
    if (ok) break;
    if (child.exitCode !== null || tries > 600) throw new Error(`${command} did not start: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url, process: child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await once(child, 'exit');
        clearTimeout(timer);
      }
      if (folder !== undefined) await rm(folder, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
