/** XᵀX over all rows of an activation: the Hessian of GPTQ and SparseGPT, whitening of SVD-LLM. */
import { channelsOf, type CollectorTools, floatsOf, type PartCollector, sameChannels } from './collector.js';

export interface GramStatistic {
  /** (channels, channels), row-major, symmetric. */
  readonly sums: Float32Array;
  readonly channels: number;
  /** Rows seen. */
  readonly rows: number;
}

/** Columns whose products are computed in one call: the product beside the sums then takes little, and half of a wide Gram is never computed. */
const TILE = 512;

/** Fewer rows than these wait for others: a product of one row costs as much as of dozens, since all sums are touched. */
const ROWS_AT_ONCE = 256;

/** Sums under way. */
export interface GramState {
  /** (channels, channels), of which only the half above the diagonal counts; absent while all rows wait. */
  readonly sums: Float32Array | undefined;
  /** (some rows, channels): those that wait. */
  readonly waiting: Float32Array;
  readonly channels: number;
  readonly rows: number;
}

/** Rows of parts that have no more than ROWS_AT_ONCE wait for those of the parts after them. All else has sums of its own in each part. */
export const gram: (value: string, tools: CollectorTools) => PartCollector<GramStatistic, GramState> = (value, { products }) => {
  /** Above the diagonal are the sums of the part under way or, where none is, of all parts before: the others lie below it, which costs no memory of its own. */
  let sums: Float32Array | undefined;
  let below: Below | undefined;
  /** The part has more rows than wait. */
  let begun = false;
  /** Sums of earlier parts are above the diagonal. */
  let settled = false;
  let channels = 0;
  let rows = 0;
  const waiting = rowBuffer();
  const carried = rowBuffer();

  const matrix = (): Float32Array => (sums ??= new Float32Array(channels * channels));

  async function multiply(data: Float32Array, count: number): Promise<void> {
    const into = matrix();
    const x = { data, rows: count, cols: channels };
    for (let from = 0; from < channels; from += TILE) {
      const to = Math.min(from + TILE, channels);
      const width = channels - from;
      const tile =
        width === channels && to === channels
          ? await products.multiply({ ...x, transposed: true }, x)
          : await products.multiply({ ...x, window: [from, to], transposed: true }, { ...x, window: [from, channels] });
      for (let i = from; i < to; i++) {
        const row = i * channels;
        const at = (i - from) * width - from;
        for (let j = i; j < channels; j++) into[row + j]! += tile[at + j]!;
      }
    }
  }

  /** To the sums of the part under way. */
  async function flush(data: Float32Array, count: number): Promise<void> {
    if (count === 0) return;
    if (settled) {
      below = lower(matrix(), channels);
      settled = false;
    }
    begun = true;
    await multiply(data, count);
  }

  /** To the sums of all parts. */
  async function flushCarried(): Promise<void> {
    if (carried.rows === 0) return;
    raiseTotal();
    await multiply(carried.take(), carried.rows);
    carried.clear();
    settled = true;
  }

  function raiseTotal(): void {
    if (below) raise(matrix(), channels, below);
    settled ||= below !== undefined;
    below = undefined;
  }

  async function carry(data: Float32Array, count: number): Promise<void> {
    if (carried.rows + count > ROWS_AT_ONCE) await flushCarried();
    carried.add(data, count);
  }

  async function endPart(): Promise<void> {
    if (begun) {
      await flush(waiting.take(), waiting.rows);
      if (below) addBelow(matrix(), channels, below);
      else settled = true;
      begun = false;
    } else if (waiting.rows > 0) {
      await carry(waiting.take(), waiting.rows);
    }
    waiting.clear();
  }

  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      channels = channelsOf(value, tensor, channels || undefined);
      const count = channels === 0 ? 0 : data.length / channels;
      rows += count;
      if (count >= ROWS_AT_ONCE) return flush(data, count);
      if (waiting.rows + count > ROWS_AT_ONCE) {
        await flush(waiting.take(), waiting.rows);
        waiting.clear();
      }
      waiting.add(data, count);
    },
    endPart,
    async pause() {
      await endPart();
      raiseTotal();
      const state = { sums: settled ? sums : undefined, waiting: carried.take(), channels, rows };
      sums = undefined;
      return state;
    },
    async resume(state) {
      channels = sameChannels(value, state.channels, channels || undefined);
      rows += state.rows;
      if (state.sums && settled) addAbove(matrix(), state.sums, channels);
      else sums = state.sums ?? sums;
      settled ||= state.sums !== undefined;
      if (state.waiting.length > 0) await carry(state.waiting, state.waiting.length / channels);
    },
    async result() {
      await endPart();
      await flushCarried();
      raiseTotal();
      const made = matrix();
      // Nothing else is added, and the one who asked may let it go.
      sums = undefined;
      waiting.free();
      carried.free();
      mirror(made, channels);
      return { sums: made, channels, rows };
    },
  };
};

interface RowBuffer {
  readonly rows: number;
  add(data: Float32Array, count: number): void;
  /** All rows, until others are added. */
  take(): Float32Array;
  clear(): void;
  free(): void;
}

/** Rows that wait for others, up to ROWS_AT_ONCE. */
function rowBuffer(): RowBuffer {
  let data = new Float32Array(0);
  let length = 0;
  let rows = 0;
  return {
    get rows() {
      return rows;
    },
    add(added, count) {
      if (count === 0) return;
      if (data.length === 0) data = new Float32Array(ROWS_AT_ONCE * (added.length / count));
      data.set(added, length);
      length += added.length;
      rows += count;
    },
    take: () => data.subarray(0, length),
    clear() {
      length = 0;
      rows = 0;
    },
    free() {
      data = new Float32Array(0);
    },
  };
}

/** Sums of all parts so far, below the diagonal of a matrix whose other half holds those of the part under way. */
interface Below {
  /** There is but one of them in the matrix. */
  readonly diagonal: Float32Array;
}

/** Takes the sums above the diagonal, where zeros are left, to below it. */
function lower(matrix: Float32Array, size: number): Below {
  eachSquare(size, (top, bottom, left, right) => {
    for (let i = top; i < bottom; i++) {
      for (let j = left; j < right && j < i; j++) {
        matrix[i * size + j] = matrix[j * size + i]!;
        matrix[j * size + i] = 0;
      }
    }
  });
  const diagonal = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    diagonal[i] = matrix[i * size + i]!;
    matrix[i * size + i] = 0;
  }
  return { diagonal };
}

/** Adds the sums above the diagonal, where zeros are left, to those below it. */
function addBelow(matrix: Float32Array, size: number, { diagonal }: Below): void {
  eachSquare(size, (top, bottom, left, right) => {
    for (let i = top; i < bottom; i++) {
      for (let j = left; j < right && j < i; j++) {
        matrix[i * size + j]! += matrix[j * size + i]!;
        matrix[j * size + i] = 0;
      }
    }
  });
  for (let i = 0; i < size; i++) {
    diagonal[i]! += matrix[i * size + i]!;
    matrix[i * size + i] = 0;
  }
}

/** Takes the sums back to where the product is added. */
function raise(matrix: Float32Array, size: number, { diagonal }: Below): void {
  eachSquare(size, (top, bottom, left, right) => {
    for (let i = top; i < bottom; i++) for (let j = left; j < right && j < i; j++) matrix[j * size + i] = matrix[i * size + j]!;
  });
  for (let i = 0; i < size; i++) matrix[i * size + i] = diagonal[i]!;
}

/** The halves above the diagonal; into the first one. */
function addAbove(a: Float32Array, b: Float32Array, size: number): void {
  for (let i = 0; i < size; i++) for (let at = i * size + i; at < (i + 1) * size; at++) a[at]! += b[at]!;
}

/** Copies what is above the diagonal to below it. */
function mirror(matrix: Float32Array, size: number): void {
  eachSquare(size, (top, bottom, left, right) => {
    for (let i = top; i < bottom; i++) for (let j = left; j < right && j < i; j++) matrix[i * size + j] = matrix[j * size + i]!;
  });
}

/** Rows and columns of a square that is copied at once: both ends then stay in the cache. */
const SQUARE = 32;

/** The squares below the diagonal, and those on it. */
function eachSquare(size: number, visit: (top: number, bottom: number, left: number, right: number) => void): void {
  for (let top = 0; top < size; top += SQUARE) {
    for (let left = 0; left <= top; left += SQUARE) visit(top, Math.min(top + SQUARE, size), left, Math.min(left + SQUARE, size));
  }
}
