/** A host without a process, for tests of what stands before it: what it answers is given by the test. */
import { PenjingError } from '@penjing/core';
import type { Host, HostFactory } from '../host/host.js';
import type { HostMethod, HostMethods, ModelDescription, ModelSource } from '../host/protocol.js';

export type FakeMethods = { readonly [M in HostMethod]?: (params: HostMethods[M]['params'], context: { readonly signal: AbortSignal; readonly emit: (event: HostMethods[M]['event']) => void }) => Promise<HostMethods[M]['result']> };

export interface FakeHosts {
  readonly create: HostFactory;
  /** All that were made, in order. */
  readonly made: FakeHost[];
}

export interface FakeHost extends Host {
  readonly source: ModelSource | undefined;
  /** As when its process is killed. */
  die(): void;
}

export const description: ModelDescription = { task: 'text-generation', inputs: [], outputs: [], bytes: 1, contextLength: 64, hasChatTemplate: true };

export function fakeHosts(methods: FakeMethods, { describe = () => description, load = async () => {} }: { readonly describe?: (source: ModelSource) => ModelDescription; readonly load?: (source: ModelSource, attempt: number) => Promise<void> } = {}): FakeHosts {
  const made: FakeHost[] = [];
  const create = (name: string): Host => {
    const host = fakeHost(name, methods, describe, (source) => load(source, made.indexOf(host)));
    made.push(host);
    return host;
  };
  return { create, made };
}

function fakeHost(name: string, methods: FakeMethods, describe: (source: ModelSource) => ModelDescription, load: (source: ModelSource) => Promise<void>): FakeHost {
  let state: ReturnType<Host['health']>['state'] = 'empty';
  let source: ModelSource | undefined;
  const rejects = new Set<(error: Error) => void>();
  let resolveEnded: (error: PenjingError | undefined) => void = () => {};
  const ended = new Promise<PenjingError | undefined>((resolve) => (resolveEnded = resolve));
  const end = (error: PenjingError | undefined): void => {
    state = 'ended';
    for (const reject of [...rejects]) reject(error ?? new PenjingError('E_DISPOSED', `model ${name} was unloaded`));
    resolveEnded(error);
  };
  return {
    ended,
    get source() {
      return source;
    },
    async load(given) {
      source = given;
      state = 'loading';
      await load(given);
      state = 'ready';
      return describe(given);
    },
    call(method, params, { signal, onEvent } = {}) {
      const handler = methods[method];
      if (!handler) return Promise.reject(new PenjingError('E_TASK', `this model cannot ${method}`));
      const controller = new AbortController();
      return new Promise((resolve, reject) => {
        const fail = (error: Error): void => {
          rejects.delete(fail);
          controller.abort(error);
          reject(error);
        };
        rejects.add(fail);
        if (signal?.aborted) return fail(signal.reason);
        signal?.addEventListener('abort', () => fail(signal.reason), { once: true });
        void handler(params, { signal: controller.signal, emit: (event) => rejects.has(fail) && onEvent?.(event) }).then((result) => (rejects.delete(fail), resolve(result)), fail);
      });
    },
    health: () => ({ state, inFlight: rejects.size, pid: undefined, memory: undefined }),
    close: async () => end(undefined),
    [Symbol.asyncDispose]: async () => end(undefined),
    die: () => end(new PenjingError('E_MODEL_LOST', `the process of model ${name} is gone`)),
  };
}
