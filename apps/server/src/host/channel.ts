/** The wire between a host and the place of its model. */
import type { Transferable } from 'node:worker_threads';
import type { FromModel, ToModel } from './protocol.js';

export interface Channel {
  readonly pid: number | undefined;
  /** Messages to a place that is gone are dropped. */
  post(message: ToModel, transfer?: readonly Transferable[]): void;
  onMessage(listener: (message: FromModel) => void): void;
  /** Called once, with how the place ended. */
  onEnd(listener: (how: string) => void): void;
  /** Ends the place at once. */
  kill(): void;
}
