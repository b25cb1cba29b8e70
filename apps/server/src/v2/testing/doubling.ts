/** A server over stand-ins of models that double their input, for tests of the V2 protocol. */
import { PenjingError } from '@penjing/core';
import { createServer, type PenjingServer } from '../../create-server.js';
import type { ServerOptions } from '../../config/schema.js';
import type { HostMethods, ModelDescription, WireTensor } from '../../host/protocol.js';
import { type FakeHosts, fakeHosts } from '../../testing/fake-host.js';

export interface Doubling {
  readonly server: PenjingServer;
  readonly hosts: FakeHosts;
  /** Rows of each run. */
  readonly runs: number[];
  /** Runs wait for it, from now on. */
  hold(): () => void;
}

const description: ModelDescription = {
  task: 'tensors', bytes: 1, contextLength: undefined, hasChatTemplate: false,
  inputs: [{ name: 'x', dtype: 'float32', shape: ['batch', 2] }], outputs: [{ name: 'y', dtype: 'float32', shape: ['batch', 2] }],
};

const others: Readonly<Record<string, ModelDescription>> = {
  texts: { ...description, inputs: [{ name: 'x', dtype: 'string', shape: [null] }], outputs: [{ name: 'y', dtype: 'string', shape: [null] }] },
  halves: { ...description, inputs: [{ name: 'x', dtype: 'float16', shape: ['batch', 2] }], outputs: [{ name: 'y', dtype: 'float16', shape: ['batch', 2] }] },
  writer: { ...description, task: 'text-generation' },
};

/** Models `double`, `texts`, `halves` (give back what they get) and `writer` (is no model for tensors). A value of 666 breaks the run that it is in. */
export async function doubling(options: ServerOptions = {}): Promise<Doubling> {
  const runs: number[] = [];
  let gate = Promise.resolve();
  const infer = async ({ inputs, outputs }: HostMethods['infer']['params'], { signal }: { readonly signal: AbortSignal }): Promise<HostMethods['infer']['result']> => {
    const x = inputs['x']!;
    runs.push(x.shape[0] ?? 1);
    await Promise.race([gate, new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))]);
    return { outputs: outputs && !outputs.includes('y') ? {} : { y: doubled(x) }, computeMs: 0.25 };
  };
  const hosts = fakeHosts({ infer }, { describe: ({ path }) => others[path.slice(1)] ?? description });
  const names = ['double', 'texts', 'halves', 'writer'];
  const server = createServer({ port: 0, log: { level: 'silent' }, models: names.map((name) => ({ name, path: `/${name}` })), ...options }, { createHost: hosts.create });
  await server.load();
  return {
    server, hosts, runs,
    hold() {
      let release = (): void => {};
      gate = new Promise((resolve) => (release = resolve));
      return release;
    },
  };
}

function doubled(x: WireTensor): WireTensor {
  if (!(x.data instanceof ArrayBuffer) || x.dtype !== 'float32') return x;
  const values = new Float32Array(x.data);
  if (values.includes(666)) throw new PenjingError('E_INPUT', 'the model does not like 666');
  return { ...x, data: values.map((value) => 2 * value).buffer };
}
