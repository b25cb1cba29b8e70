/** The message loop of a session worker: requests in, results, errors and events out. */
import { toPlainError } from '@penjing/core';
import type { Handlers, Method, Methods, Reply, Request } from './protocol.js';
import type { CallContext } from './wire-types.js';

/** The end of a channel that a worker talks through; `parentPort` fits. */
export interface ServerPort {
  on(event: 'message', listener: (message: Request) => void): unknown;
  postMessage(message: Reply, transfer?: readonly ArrayBuffer[]): void;
  close(): void;
}

/** Answers requests until told to shut down; `release` then frees what the handlers hold. */
export function serve(port: ServerPort, handlers: Handlers, release: () => Promise<void>): void {
  const running = new Map<number, AbortController>();

  async function answer<M extends Method>(id: number, method: M, params: Methods[M]['params']): Promise<void> {
    const controller = new AbortController();
    const transfer: ArrayBuffer[] = [];
    running.set(id, controller);
    const context: CallContext<Methods[M]['event']> = {
      signal: controller.signal,
      emit: (event) => port.postMessage({ id, event }),
      transfer,
    };
    try {
      const result = await handlers[method](params, context);
      port.postMessage({ id, result }, transfer);
    } catch (error) {
      port.postMessage({ id, error: toPlainError(error, 'E_ENGINE') });
    } finally {
      running.delete(id);
    }
  }

  port.on('message', (message) => {
    if ('cancel' in message) running.get(message.cancel)?.abort();
    else if ('shutdown' in message) {
      for (const controller of running.values()) controller.abort();
      void release().finally(() => port.close());
    } else void answer(message.id, message.method, message.params);
  });
}
