/** Keys and values of the sequences of a batch, in buffers that every run reads and writes where they lie. */
import { type DType, type TypedArray, typedView } from '@penjing/core';
import { type DecoderForm, LAST_PLACES, type LayerCache, MOST_PLACES } from '../generate/generation-form.js';
import { partnerOf } from '../generate/key-rotation.js';
import { elementBytes, type OrtApi, type OrtTensor } from './tensors.js';

/** Fewest places of a buffer. */
const FEWEST = 64;

/** Room for `length` tokens: an eighth more at most, so that a long text is seldom moved and little of what is read in each step is empty. */
export function capacityFor(length: number): number {
  const step = Math.max(FEWEST, 2 ** Math.floor(Math.log2(Math.max(1, length))) / 8);
  return Math.max(1, Math.ceil(length / step)) * step;
}

/** What a run is fed besides the tokens, and the buffers that it writes into, by output. */
export interface CacheTensors {
  readonly feeds: Record<string, OrtTensor>;
  readonly into: Record<string, OrtTensor>;
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
  readonly #lengths: number[] = [];
  /** Of the last run: a step differs from the one before in its lengths alone. */
  #views: (CacheTensors & { readonly first: number; readonly rows: number }) | undefined;
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

  /** Appends a row: an empty one, or the first `length` tokens of a row of others. There is room for `room` tokens then. */
  add(from?: { readonly rows: CacheRows; readonly row: number; readonly length: number }, room = 1): void {
    const row = this.#lengths.length;
    this.#reserve(Math.max(room, from?.length ?? 0), row + 1);
    this.#lengths.push(from?.length ?? 0);
    if (from) this.#copy(from.rows, from.row, row, from.length);
  }

  /** Takes a row out; the last row has its number now. */
  remove(row: number): void {
    const last = this.#lengths.length - 1;
    if (row < last) {
      this.#lengths[row] = this.#lengths[last]!;
      this.#copy(this, last, row, this.#lengths[row]);
    }
    this.#lengths.pop();
    if (this.#lengths.length === 0) this.#clear();
  }

  /** For a run that appends `count` tokens to `rows` rows from `first` on; several to one row alone. */
  tensors(first: number, rows: number, count: number): CacheTensors {
    const lengths = this.#lengths.slice(first, first + rows);
    const most = Math.max(...lengths) + count;
    this.#reserve(most, this.#lengths.length);
    if (this.#views?.first !== first || this.#views.rows !== rows) this.#views = { first, rows, ...this.#viewsOf(first, rows) };
    const { feeds, into } = this.#views;
    feeds[LAST_PLACES] = new this.#api.Tensor('int32', Int32Array.from(lengths, (length) => length + count - 1), [rows]);
    feeds[MOST_PLACES] = new this.#api.Tensor('int32', Int32Array.of(most), []);
    return { feeds, into };
  }

  /**
   * How large the channels of a row become: of each layer the keys, then the values, each (kvHeads · headDim). `single` is the largest magnitude of each alone; `turned` is how large it may become at other places of a text: keys that turn into each
   * other keep the length of their pair.
   */
  peaks(row: number): { readonly single: Float32Array<ArrayBuffer>; readonly turned: Float32Array<ArrayBuffer> } {
    const [single, turned]: [number[], number[]] = [[], []];
    for (const { layer: { kvHeads, headDim, rotation }, ...buffers } of this.#buffers) {
      for (const kind of ['key', 'value'] as const) {
        for (let channel = 0; channel < kvHeads * headDim; channel++) {
          const start = (row * kvHeads + Math.floor(channel / headDim)) * this.#capacity * headDim;
          const [own, other] = [channel % headDim, partnerOf(channel % headDim, kind === 'key' ? rotation : undefined)];
          let [peak, length] = [0, 0];
          for (let place = start; place < start + this.#lengths[row]! * headDim; place += headDim) {
            const number = Math.abs(buffers[kind][place + own] as number);
            peak = Math.max(peak, number);
            length = Math.max(length, number ** 2 + (other === own ? 0 : (buffers[kind][place + other] as number) ** 2));
          }
          single.push(peak);
          turned.push(Math.sqrt(length));
        }
      }
    }
    return { single: Float32Array.from(single), turned: Float32Array.from(turned) };
  }

  /** What a run wrote is part of the text now. */
  grow(first: number, rows: number, count: number): void {
    for (let row = first; row < first + rows; row++) this.#lengths[row]! += count;
  }

  /** Takes the last tokens of a row back, down to `length`. */
  shorten(row: number, length: number): void {
    this.#lengths[row] = Math.min(length, this.#lengths[row]!);
  }

  /** Gives the room of the longest text back. */
  #clear(): void {
    for (const buffers of this.#buffers) buffers.key = buffers.value = zeros(buffers.layer.dtype, 0);
    [this.#capacity, this.#room, this.#views] = [0, 0, undefined];
  }

  #viewsOf(first: number, rows: number): CacheTensors {
    const views: CacheTensors = { feeds: {}, into: {} };
    for (const { layer, ...buffers } of this.#buffers) {
      const { kvHeads, headDim, dtype } = layer;
      const size = kvHeads * this.#capacity * headDim;
      for (const kind of ['key', 'value'] as const) {
        const [past, present] = layer[kind];
        // one tensor under both names: the run writes where it reads
        views.feeds[past] = views.into[present] = new this.#api.Tensor(dtype as 'float32', buffers[kind].subarray(first * size, (first + rows) * size) as Float32Array, [rows, kvHeads, this.#capacity, headDim]);
      }
    }
    return views;
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
    [this.#capacity, this.#room, this.#views] = [capacity, room, undefined];
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
}

const zeros = (dtype: DType, count: number): TypedArray => typedView(dtype, new Uint8Array(count * elementBytes(dtype)));
