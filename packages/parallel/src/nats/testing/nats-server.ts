/** A nats-server of a test: on a free port, with a folder of its own, that can be killed and started again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface NatsServer extends AsyncDisposable {
  readonly port: number;
  /** `nats://ADDRESS:PORT`. */
  readonly url: string;
  readonly storeDir: string;
  readonly pid: number;
  /** Ends it without a chance to write anything. */
  kill(): Promise<void>;
  /** On the same port and folder. */
  start(): Promise<void>;
}

export interface NatsServerOptions {
  /** Lines of the configuration beside the address and the store. */
  readonly config?: string;
  readonly jetstream?: boolean;
  /** More settings of JetStream, as `sync_interval: always`. */
  readonly store?: string;
  /** Where streams are kept; a new folder when absent. */
  readonly storeDir?: string;
  /** A host of its own: its address, and what starts a command on it (`ip netns exec NAME`). */
  readonly on?: { readonly address: string; readonly under: readonly string[] };
}

/** Another one than that of the system, for tests with a newer version. */
const PROGRAM = process.env['PENJING_NATS_SERVER'] ?? 'nats-server';

/** Why tests that need a server are skipped, or undefined. */
export const noNats: string | undefined = spawnSync(PROGRAM, ['--version']).status === 0 ? undefined : 'nats-server is not installed';

/** As `2.9.10`. */
export function natsVersion(): string {
  return /v(\d\S*)/.exec(spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? 'unknown';
}

export async function startNats({ config = '', jetstream = true, store: settings = '', storeDir, on }: NatsServerOptions = {}): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-nats-'));
  const store = storeDir ?? join(folder, 'store');
  const port = on ? 4222 : await freePort();
  const host = on?.address ?? '127.0.0.1';
  const file = join(folder, 'nats.conf');
  await writeFile(file, `host: ${host}\nport: ${port}\n${jetstream ? `jetstream { store_dir: ${JSON.stringify(store)}, ${settings} }\n` : ''}${config}\n`);
  let child: ChildProcess | undefined;

  async function kill(): Promise<void> {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  }

  async function start(): Promise<void> {
    let log = '';
    const [command, ...args] = [...(on?.under ?? []), PROGRAM, '-c', file];
    const started = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child = started;
    started.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4_000)));
    for (let tries = 0; tries < 400; tries++) {
      if (started.exitCode !== null) throw new Error(`nats-server ended: ${log}`);
      // The port opens before JetStream has recovered its streams.
      if (log.includes('Server is ready') && (on !== undefined || (await answers(port)))) return;
      await sleep(25);
    }
    await kill();
    throw new Error(`nats-server does not start: ${log}`);
  }

  await start();
  return {
    port,
    url: `nats://${host}:${port}`,
    storeDir: store,
    get pid() {
      return child?.pid ?? -1;
    },
    kill,
    start,
    async [Symbol.asyncDispose]() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => (socket.destroy(), resolve(true)));
    socket.on('error', () => resolve(false));
  });
}
