/** Tells that nobody waits any more, to whoever works: what code that waits needs of an `AbortSignal`, and no more than that. */
import type { Socket } from 'node:net';

/** An `AbortSignal` is one. */
export interface Leaving {
  readonly aborted: boolean;
  readonly reason: Error;
  addEventListener(event: 'abort', listener: () => void, options?: { readonly once?: boolean }): void;
  removeEventListener(event: 'abort', listener: () => void): void;
}

const LEFT = new DOMException('the client has left', 'AbortError');

/** One without an event target: making one of those, and putting two listeners on and off, was a twentieth of the server's time for a small tensor. */
export class Leave implements Leaving {
  aborted = false;
  reason: Error = LEFT;
  readonly #listeners = new Set<() => void>();

  addEventListener(_: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }

  /** Once; a second time does nothing. */
  leave(reason: Error = this.reason): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}

const leaves = new WeakMap<Socket, Leave>();

/** The one of a connection, which all its requests share. It lives long: who listens must take the listener off again. */
export function leavingOf(socket: Socket): Leaving {
  const known = leaves.get(socket);
  if (known) return known;
  const leave = new Leave();
  leaves.set(socket, leave);
  if (socket.destroyed) leave.leave();
  else socket.once('close', () => leave.leave());
  return leave;
}
