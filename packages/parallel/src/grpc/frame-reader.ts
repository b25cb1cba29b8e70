/** Frames of one direction of a stream to whole requests or results: the pieces of one follow each other, others do not come between. */
import { type Fetches, isPenjingError, PenjingError } from '@penjing/core';
import { broken, type ReadFrame } from './frame.js';
import { Assembly } from './slices.js';

/** All the tensors of a request or result, or why they cannot be used. */
export interface Letter {
  readonly request: number;
  readonly outputs: readonly string[] | undefined;
  readonly values: Fetches | PenjingError;
}

interface Open {
  readonly request: number;
  readonly outputs: readonly string[] | undefined;
  readonly assembly: Assembly;
  pieces: number;
  damage: PenjingError | undefined;
}

export class FrameReader {
  readonly #requestBytes: number;
  #open: Open | undefined;

  constructor(requestBytes: number) {
    this.#requestBytes = requestBytes;
  }

  /** The letter that `frame` completes. Throws `E_REQUEST` for pieces out of order; what is wrong with the tensors is said of their request alone. */
  add(frame: ReadFrame): Letter | undefined {
    if (frame.piece === 0) {
      if (this.#open) throw broken(`request ${frame.request} begins inside request ${this.#open.request}`);
      this.#open = { request: frame.request, outputs: frame.outputs, assembly: new Assembly(this.#requestBytes), pieces: 0, damage: undefined };
    }
    const open = this.#open;
    if (open?.request !== frame.request || open.pieces !== frame.piece) throw broken(`piece ${frame.piece} of request ${frame.request} does not follow the one before`);
    open.pieces++;
    if (!frame.intact) open.damage = new PenjingError('E_CHECKSUM', `tensors were damaged on their way, in piece ${frame.piece}`, { hint: 'Ask again, and look at the network.', details: { retryAfter: 0 } });
    // What follows damage may lean on what was lost.
    try {
      if (!open.damage) open.assembly.add(frame.tensors);
    } catch (error) {
      if (!isPenjingError(error)) throw error;
      open.damage = error;
    }
    if (!frame.last) return undefined;
    this.#open = undefined;
    return { request: open.request, outputs: open.outputs, values: open.damage ?? open.assembly.finish() };
  }

  /** The rest of a request will not come. */
  drop(request: number): void {
    if (this.#open?.request === request) this.#open = undefined;
  }
}
