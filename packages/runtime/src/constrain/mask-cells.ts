/** The memory that two threads share: which tokens may come next. */

/** Numbers of the header. */
const STEP = 0;
const STATE = 1;
const MAY_END = 2;
const OPEN = 3;
const HEADER = 4;

/** Longest message of a failure, in bytes. */
const MESSAGE_BYTES = 512;

export interface NextTokens {
  /** A bit for each token of the vocabulary. */
  readonly words: Int32Array;
  /** Whether the text may end here. */
  readonly mayEnd: boolean;
  /** Whether it may go on. */
  readonly open: boolean;
}

export class MaskCells {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
  }

  /** For a vocabulary of `tokens`, and a message should it come to that. */
  static of(tokens: number): MaskCells {
    return new MaskCells(new SharedArrayBuffer(4 * HEADER + Math.max(4 * Math.ceil(tokens / 32), MESSAGE_BYTES)));
  }

  /** Grammar's side: what may follow the first `step` tokens. */
  write(step: number, { words, mayEnd, open }: NextTokens): void {
    this.#cells.set(words, HEADER);
    this.#cells[MAY_END] = Number(mayEnd);
    this.#cells[OPEN] = Number(open);
    // Steps are counted from 1, so that 0 is "nothing yet".
    Atomics.store(this.#cells, STEP, step + 1);
    Atomics.notify(this.#cells, STEP);
  }

  /** Either side: nothing will come any more. */
  fail(message: string): void {
    if (Atomics.compareExchange(this.#cells, STATE, 0, -1) !== 0) return;
    const bytes = new Uint8Array(this.buffer, 4 * HEADER);
    bytes.fill(0);
    bytes.set(new TextEncoder().encode(message).subarray(0, Math.min(bytes.length, MESSAGE_BYTES)));
    Atomics.store(this.#cells, STATE, 1);
    // Whoever begins to wait after this finds another step than the one it waits for.
    Atomics.store(this.#cells, STEP, -1);
    Atomics.notify(this.#cells, STEP);
  }

  /** Reader's side: blocks until it is known what may follow the first `step` tokens; a message instead when that failed, undefined when it took too long. */
  read(step: number, milliseconds: number): NextTokens | string | undefined {
    const end = performance.now() + milliseconds;
    for (;;) {
      if (Atomics.load(this.#cells, STATE) === 1) return this.#message();
      const told = Atomics.load(this.#cells, STEP);
      if (told === step + 1) return { words: this.#cells.subarray(HEADER), mayEnd: this.#cells[MAY_END] === 1, open: this.#cells[OPEN] === 1 };
      const left = end - performance.now();
      if (left <= 0) return undefined;
      Atomics.wait(this.#cells, STEP, told, left);
    }
  }

  #message(): string {
    const bytes = new Uint8Array(this.buffer, 4 * HEADER).slice();
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
}
