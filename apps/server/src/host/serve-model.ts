/** The loop of a model's process: requests in; results, errors and events out. */
import { PenjingError } from '@penjing/core';
import type { Handler, OpenedModel } from './model-kind.js';
import { openModel } from './open-model.js';
import type { FromModel, ToModel } from './protocol.js';
import { toWireError } from './wire-error.js';

/** The model's end of the wire. */
export interface ModelPort {
  onMessage(listener: (message: ToModel) => void): void;
  post(message: FromModel): void;
  /** Ends the process or thread. */
  end(): void;
}

const TELL_MEMORY_MS = 2_000;

export function serveModel(port: ModelPort): void {
  const running = new Map<number, AbortController>();
  let opened: OpenedModel | undefined;

  const answer = async (id: number, work: (signal: AbortSignal) => Promise<unknown>): Promise<void> => {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      port.post({ id, result: await work(controller.signal) });
    } catch (error) {
      port.post({ id, error: toWireError(error) });
    } finally {
      running.delete(id);
    }
  };

  const handlerOf = (method: string): Handler => {
    const handler = opened?.handlers[method as keyof OpenedModel['handlers']] as Handler | undefined;
    if (handler) return handler;
    throw new PenjingError('E_TASK', opened ? `this model is for ${opened.description.task}; it cannot ${method}` : 'the model is not loaded yet');
  };

  const tellMemory = (): void => {
    const { rss, heapUsed } = process.memoryUsage();
    port.post({ memory: { rss, heap: heapUsed } });
  };
  setInterval(tellMemory, TELL_MEMORY_MS).unref();

  port.onMessage((message) => {
    if ('cancel' in message) running.get(message.cancel)?.abort(new PenjingError('E_CANCELLED', 'the call was cancelled'));
    else if ('shutdown' in message) {
      for (const controller of running.values()) controller.abort(new PenjingError('E_DISPOSED', 'the model was unloaded'));
      void (opened?.close() ?? Promise.resolve()).catch(() => {}).finally(() => port.end());
    } else if ('open' in message) {
      void answer(message.id, async (signal) => {
        opened = await openModel(message.open, signal);
        tellMemory();
        return opened.description;
      });
    } else void answer(message.id, async (signal) => handlerOf(message.method)(message.params as never, { signal, emit: (event) => port.post({ id: message.id, event }) }));
  });
}
