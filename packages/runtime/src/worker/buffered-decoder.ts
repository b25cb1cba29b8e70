/** A decoder in the form for generation, one sequence: keys and values lie in buffers here, and are never copied out of a run. */
import { type DType, type TypedArray, typedView } from '@penjing/core';
import type { DecoderForm, LayerCache, SightInputs } from '../generate/generation-form.js';
import { type LogitRows, logitRows } from './logits.js';
import type { SessionTable } from './session-table.js';
import { elementBytes, type OrtTensor } from './tensors.js';

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
  /** (1, kvHeads, capacity, headDim) each. */
  key: OrtTensor;
  value: OrtTensor;
}

export class BufferedDecoder {
  readonly #sessions: SessionTable;
  readonly #handle: number;
  readonly #form: DecoderForm;
  readonly #fetches: readonly string[];
  #buffers: Buffers[] = [];
  /** By input name, (1, 1, 1, capacity); those of windows are made for each run. */
  #sight = new Map<string, OrtTensor>();
  #capacity = 0;
  #length = 0;

  constructor(sessions: SessionTable, handle: number, form: DecoderForm) {
    this.#sessions = sessions;
    this.#handle = handle;
    this.#form = form;
    this.#fetches = ['logits', ...form.layers.flatMap(({ newKey, newValue }) => [newKey, newValue])];
    this.reset();
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that the buffers take. */
  get cacheBytes(): number {
    return this.#buffers.reduce((sum, { layer, key, value }) => sum + (key.size + value.size) * elementBytes(layer.dtype), 0);
  }

  /** Forgets the sequence. */
  reset(): void {
    this.#length = 0;
    this.#capacity = 0;
    this.#buffers = this.#form.layers.map((layer) => ({ layer, key: this.#empty(layer, 0), value: this.#empty(layer, 0) }));
    this.#reserve(1);
  }

  /** Appends tokens and gives the logits of the last `rows` of them. */
  async forward(tokens: ArrayLike<number>, rows = 1): Promise<LogitRows> {
    const { Tensor } = this.#sessions.api;
    const count = tokens.length;
    const ints = (length: number, at: (i: number) => number, dims: readonly number[]): OrtTensor => new Tensor('int64', BigInt64Array.from({ length }, (_, i) => BigInt(at(i))), dims);
    const feeds: Record<string, OrtTensor> = {
      input_ids: ints(count, (i) => tokens[i]!, [1, count]),
      logit_rows: ints(rows, (i) => count - rows + i, [rows]),
    };
    if (this.#form.positions) feeds['position_ids'] = ints(count, (i) => this.#length + i, [1, count]);
    for (const sight of this.#form.sight) {
      feeds[sight.past] = sight.window === undefined ? this.#sight.get(sight.past)! : this.#windowed(sight, count);
      feeds[sight.fresh] = this.#fresh(sight, count);
    }
    for (const { layer, key, value } of this.#buffers) [feeds[layer.pastKey], feeds[layer.pastValue]] = [key, value];
    const fetched = await this.#sessions.run(this.#handle, feeds, this.#fetches);
    this.#append(fetched, count);
    return logitRows(fetched['logits']!);
  }

  #append(fetched: Readonly<Record<string, OrtTensor>>, count: number): void {
    const start = this.#length;
    this.#reserve(start + count);
    for (const { layer, key, value } of this.#buffers) {
      const { kvHeads, headDim } = layer;
      for (const [name, buffer] of [[layer.newKey, key], [layer.newValue, value]] as const) {
        const [from, to] = [fetched[name]!.data as Float32Array, buffer.data as Float32Array];
        for (let head = 0; head < kvHeads; head++) to.set(from.subarray(head * count * headDim, (head + 1) * count * headDim), (head * this.#capacity + start) * headDim);
      }
    }
    this.#length = start + count;
    for (const tensor of this.#sight.values()) (tensor.data as Float32Array).fill(0, start, this.#length);
  }

  /** Makes room; what is there moves. */
  #reserve(length: number): void {
    if (length <= this.#capacity) return;
    const capacity = capacityFor(length);
    for (const buffers of this.#buffers) {
      const { kvHeads, headDim } = buffers.layer;
      for (const kind of ['key', 'value'] as const) {
        const grown = this.#empty(buffers.layer, capacity);
        const [from, to] = [buffers[kind].data as Float32Array, grown.data as Float32Array];
        for (let head = 0; head < kvHeads; head++) to.set(from.subarray(head * this.#capacity * headDim, (head * this.#capacity + this.#length) * headDim), head * capacity * headDim);
        buffers[kind] = grown;
      }
    }
    this.#capacity = capacity;
    this.#sight = new Map(this.#form.sight.flatMap(({ past, window, dtype }) => (window === undefined ? [[past, this.#seen(dtype, [1, 1, 1, capacity], (i) => i < this.#length)] as const] : [])));
  }

  #empty({ kvHeads, headDim, dtype }: LayerCache, capacity: number): OrtTensor {
    return this.#tensor(dtype, zeros(dtype, kvHeads * capacity * headDim), [1, kvHeads, capacity, headDim]);
  }

  /** Of past places, those that are filled and in the window of the token that looks. */
  #windowed({ group, window, dtype }: SightInputs, count: number): OrtTensor {
    const [start, capacity] = [this.#length, this.#capacity];
    return this.#seen(dtype, [1, 1, count * group, capacity], (i) => {
      const [row, place] = [Math.floor(i / capacity / group), i % capacity];
      return place < start && start + row - place < window!;
    });
  }

  #fresh({ group, window = Infinity, dtype }: SightInputs, count: number): OrtTensor {
    return this.#seen(dtype, [1, 1, count * group, count], (i) => {
      const behind = Math.floor(i / count / group) - (i % count);
      return behind >= 0 && behind < window;
    });
  }

  #seen(dtype: DType, dims: readonly number[], sees: (i: number) => boolean): OrtTensor {
    const data = zeros(dtype, dims.reduce((product, dim) => product * dim, 1));
    const unseen = UNSEEN[dtype as keyof typeof UNSEEN];
    for (let i = 0; i < data.length; i++) if (!sees(i)) data[i] = unseen;
    return this.#tensor(dtype, data, dims);
  }

  #tensor(dtype: DType, data: TypedArray, dims: readonly number[]): OrtTensor {
    return new this.#sessions.api.Tensor(dtype as 'float32', data as Float32Array, dims);
  }
}

const zeros = (dtype: DType, count: number): TypedArray => typedView(dtype, new Uint8Array(count * elementBytes(dtype)));
