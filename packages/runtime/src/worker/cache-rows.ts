/** Keys and values of the sequences of a batch, in buffers that every run reads where they lie. */
import { type DType, type TypedArray, typedView } from '@penjing/core';
import type { DecoderForm, LayerCache, SightInputs } from '../generate/generation-form.js';
import { elementBytes, type OrtApi, type OrtTensor } from './tensors.js';

/** Added to scores of places that are not seen: finite, so that a row that sees nothing has no NaN. The half is -3e4. */
const UNSEEN = { float32: -1e9, float16: 0xf753 } as const;

/** Fewest places of a buffer. */
const FEWEST = 64;

/** Room for `length` tokens: an eighth more at most, so that a long text is seldom moved and little of what is read in each step is empty. */
export function capacityFor(length: number): number {
  const step = Math.max(FEWEST, 2 ** Math.floor(Math.log2(Math.max(1, length))) / 8);
  return Math.max(1, Math.ceil(length / step)) * step;
}

interface Buffers {
  readonly layer: LayerCache;
  /** (room, kvHeads, capacity, headDim) each. */
  key: TypedArray;
  value: TypedArray;
}

/** Rows are sequences, of different lengths in places of the same number. Rows move: the last one takes the place of one that leaves. */
export class CacheRows {
  readonly #api: OrtApi;
  readonly #form: DecoderForm;
  readonly #buffers: Buffers[];
  /** By input name, (room, 1, 1, capacity): what rows see of the past; those of windows are made for each run. */
  readonly #sight = new Map<string, TypedArray>();
  readonly #lengths: number[] = [];
  #capacity = 0;
  #room = 0;

  constructor(api: OrtApi, form: DecoderForm) {
    this.#api = api;
    this.#form = form;
    this.#buffers = form.layers.map((layer) => ({ layer, key: zeros(layer.dtype, 0), value: zeros(layer.dtype, 0) }));
  }

  /** Tokens of each row. */
  get lengths(): readonly number[] {
    return this.#lengths;
  }

  /** Bytes that the buffers take. */
  get bytes(): number {
    return this.#buffers.reduce((sum, { key, value }) => sum + key.byteLength + value.byteLength, 0);
  }

  /** Bytes of one token. */
  get tokenBytes(): number {
    return this.#form.layers.reduce((sum, { kvHeads, headDim, dtype }) => sum + 2 * kvHeads * headDim * elementBytes(dtype), 0);
  }

  /** Appends a row: an empty one, or the first `length` tokens of a row of others. */
  add(from?: { readonly rows: CacheRows; readonly row: number; readonly length: number }): void {
    const row = this.#lengths.length;
    this.#reserve(Math.max(1, from?.length ?? 0), row + 1);
    this.#lengths.push(from?.length ?? 0);
    if (from) this.#copy(from.rows, from.row, row, from.length);
    this.#see(row, 0, this.#capacity);
  }

  /** Takes a row out; the last row has its number now. */
  remove(row: number): void {
    const last = this.#lengths.length - 1;
    if (row < last) {
      this.#lengths[row] = this.#lengths[last]!;
      this.#copy(this, last, row, this.#lengths[row]);
      this.#see(row, 0, this.#capacity);
    }
    this.#lengths.pop();
    if (this.#lengths.length === 0) this.#clear();
  }

  /** What a run that appends `count` tokens to every row is fed besides the tokens. */
  feeds(count: number): Record<string, OrtTensor> {
    const rows = this.#lengths.length;
    const feeds: Record<string, OrtTensor> = {};
    for (const { layer, key, value } of this.#buffers) {
      const shape = [rows, layer.kvHeads, this.#capacity, layer.headDim];
      const size = rows * layer.kvHeads * this.#capacity * layer.headDim;
      feeds[layer.pastKey] = this.#tensor(layer.dtype, key.subarray(0, size), shape);
      feeds[layer.pastValue] = this.#tensor(layer.dtype, value.subarray(0, size), shape);
    }
    for (const sight of this.#form.sight) {
      feeds[sight.past] = sight.window === undefined ? this.#tensor(sight.dtype, this.#sight.get(sight.past)!.subarray(0, rows * this.#capacity), [rows, 1, 1, this.#capacity]) : this.#windowed(sight, count);
      feeds[sight.fresh] = this.#fresh(sight, count);
    }
    return feeds;
  }

  /** Keeps what a run made of the first tokens of every row, `counts` of each; it made as many of all as the largest of them. */
  append(fetched: Readonly<Record<string, OrtTensor>>, counts: readonly number[]): void {
    const count = Math.max(...counts);
    this.#reserve(Math.max(...this.#lengths.map((length, row) => length + counts[row]!)), this.#lengths.length);
    for (const { layer, key, value } of this.#buffers) {
      const { kvHeads, headDim } = layer;
      const width = count * headDim;
      for (const [name, to] of [[layer.newKey, key], [layer.newValue, value]] as const) {
        const from = fetched[name]!.data as Float32Array;
        this.#lengths.forEach((start, row) => {
          for (let head = row * kvHeads; head < (row + 1) * kvHeads; head++) (to as Float32Array).set(from.subarray(head * width, head * width + counts[row]! * headDim), (head * this.#capacity + start) * headDim);
        });
      }
    }
    this.#lengths.forEach((start, row) => {
      this.#lengths[row] = start + counts[row]!;
      this.#see(row, start, start + counts[row]!);
    });
  }

  /** Takes the last tokens of a row back, down to `length`. */
  shorten(row: number, length: number): void {
    const before = this.#lengths[row]!;
    if (length >= before) return;
    this.#lengths[row] = length;
    this.#see(row, length, before);
  }

  /** Gives the room of the longest text back. */
  #clear(): void {
    for (const buffers of this.#buffers) buffers.key = buffers.value = zeros(buffers.layer.dtype, 0);
    this.#sight.clear();
    [this.#capacity, this.#room] = [0, 0];
  }

  /** Makes room; what is there moves. */
  #reserve(length: number, rows: number): void {
    if (length <= this.#capacity && rows <= this.#room) return;
    const old = this.#capacity;
    const capacity = length <= old ? old : capacityFor(length);
    const room = rows <= this.#room ? this.#room : Math.max(rows, 2 * this.#room);
    for (const buffers of this.#buffers) {
      const { kvHeads, headDim, dtype } = buffers.layer;
      for (const kind of ['key', 'value'] as const) {
        const [from, to] = [buffers[kind] as Float32Array, zeros(dtype, room * kvHeads * capacity * headDim) as Float32Array];
        this.#lengths.forEach((count, row) => {
          for (let head = row * kvHeads; head < (row + 1) * kvHeads; head++) to.set(from.subarray(head * old * headDim, (head * old + count) * headDim), head * capacity * headDim);
        });
        buffers[kind] = to;
      }
    }
    [this.#capacity, this.#room] = [capacity, room];
    for (const { past, window, dtype } of this.#form.sight) if (window === undefined) this.#sight.set(past, zeros(dtype, room * capacity));
    this.#lengths.forEach((_, row) => this.#see(row, 0, capacity));
  }

  /** The first `length` tokens of a row of `from` into a row of these. */
  #copy(from: CacheRows, source: number, target: number, length: number): void {
    this.#buffers.forEach(({ layer: { kvHeads, headDim }, ...ours }, i) => {
      const theirs = from.#buffers[i]!;
      for (const kind of ['key', 'value'] as const) {
        for (let head = 0; head < kvHeads; head++) {
          const start = (source * kvHeads + head) * from.#capacity * headDim;
          (ours[kind] as Float32Array).set((theirs[kind] as Float32Array).subarray(start, start + length * headDim), (target * kvHeads + head) * this.#capacity * headDim);
        }
      }
    });
  }

  /** Writes what a row sees of the places from `start` to `end`. */
  #see(row: number, start: number, end: number): void {
    const filled = Math.min(end, Math.max(start, this.#lengths[row]!));
    for (const { past, dtype } of this.#form.sight) {
      const places = this.#sight.get(past)?.subarray(row * this.#capacity, (row + 1) * this.#capacity) as Float32Array | undefined;
      places?.fill(0, start, filled);
      places?.fill(UNSEEN[dtype as keyof typeof UNSEEN], filled, end);
    }
  }

  /** Of past places, those that are filled and in the window of the token that looks: (rows, 1, count · group, capacity). */
  #windowed({ group, window, dtype }: SightInputs, count: number): OrtTensor {
    const [capacity, rows] = [this.#capacity, this.#lengths.length];
    const data = zeros(dtype, rows * count * group * capacity) as Float32Array;
    data.fill(UNSEEN[dtype as keyof typeof UNSEEN]);
    for (let line = 0; line < rows * count * group; line++) {
      const length = this.#lengths[Math.floor(line / (count * group))]!;
      const place = length + (Math.floor(line / group) % count);
      data.fill(0, line * capacity + Math.min(length, Math.max(0, place - window! + 1)), line * capacity + length);
    }
    return this.#tensor(dtype, data, [rows, 1, count * group, capacity]);
  }

  /** Of new places, those up to its own and in its window: (1, 1, count · group, count). */
  #fresh({ group, window = Infinity, dtype }: SightInputs, count: number): OrtTensor {
    const data = zeros(dtype, count * group * count) as Float32Array;
    data.fill(UNSEEN[dtype as keyof typeof UNSEEN]);
    for (let line = 0; line < count * group; line++) {
      const place = Math.floor(line / group);
      data.fill(0, line * count + Math.max(0, place - window + 1), line * count + place + 1);
    }
    return this.#tensor(dtype, data, [1, 1, count * group, count]);
  }

  #tensor(dtype: DType, data: TypedArray, dims: readonly number[]): OrtTensor {
    return new this.#api.Tensor(dtype as 'float32', data as Float32Array, dims);
  }
}

const zeros = (dtype: DType, count: number): TypedArray => typedView(dtype, new Uint8Array(count * elementBytes(dtype)));
