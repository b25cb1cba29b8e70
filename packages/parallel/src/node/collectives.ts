/** Sums and joins of tensors over the threads of shards, through shared memory: one copy in, one copy out, since ONNX Runtime takes no shared tensors. */
import { receiveMessageOnPort, type MessagePort as NodePort } from 'node:worker_threads';
import { DenseTensor, elementCount, PenjingError, type Shape } from '@penjing/core';
import { addTerm } from '../tensor/add-terms.js';
import { elementBytesOf, lengthOf, piecesOf, sizeOf, withSize } from '../tensor/pieces.js';
import { STRIPED_BYTES } from '../tensor/step-traffic.js';
import type { Part, ShardExchange } from '../tensor/shard-program.js';
import type { AxisCut } from '../tensor/sharded-model.js';
import type { CollectiveGate } from './collective-gate.js';

/** Of a tensor in shared memory, so that typed arrays may begin there, and no two shards write to one line of a cache. */
const ALIGNMENT = 64;

export interface CollectiveOptions {
  readonly shard: number;
  readonly shards: number;
  readonly gate: CollectiveGate;
  /** To the first shard; on the first shard, to all others. Larger memory is sent through them. */
  readonly peers: readonly MessagePort[];
}

export class Collectives implements ShardExchange {
  readonly #options: CollectiveOptions;
  /** Two halves that take turns: who is in one has seen all others leave the other. */
  #memory: SharedArrayBuffer | undefined;
  #generation = 0;
  #turn = 0;

  constructor(options: CollectiveOptions) {
    this.#options = options;
  }

  /**
   * Before the first run after one that not all shards ended: they stopped at different exchanges, so neither turns nor memories agree. All begin anew, and meet before anyone sends memory that another
   * would take for old.
   */
  async reset(): Promise<void> {
    const { shard, gate, peers } = this.#options;
    this.#memory = undefined;
    this.#turn = 0;
    this.#generation = gate.generation;
    if (shard !== 0) while (receiveMessageOnPort(peers[0] as unknown as NodePort));
    await gate.meet();
  }

  /** The same bits however large the tensors are. */
  async sum(terms: readonly DenseTensor[]): Promise<DenseTensor[]> {
    const { shard, shards, gate } = this.#options;
    const sizes = terms.map(({ byteLength }) => aligned(byteLength));
    const total = sizes.reduce((all, size) => all + size, 0);
    const half = await this.#half(total * shards);
    const places = offsets(sizes);
    const slot = (of: number, i: number, from = 0, to = terms[i]!.byteLength): Uint8Array<SharedArrayBuffer> => half.subarray(of * total + places[i]! + from, of * total + places[i]! + to);
    terms.forEach(({ bytes }, i) => slot(shard, i).set(bytes));
    await gate.meet();
    const striped = total >= STRIPED_BYTES && shards > 1;
    if (striped) {
      terms.forEach(({ dtype, byteLength }, i) => {
        const [from, to] = stripe(byteLength, shard, shards);
        for (let other = 1; other < shards; other++) addTerm(dtype, slot(0, i, from, to), slot(other, i, from, to));
      });
      await gate.meet();
    }
    return terms.map(({ dtype, shape }, i) => {
      const sum = new Uint8Array(slot(0, i));
      if (!striped) for (let other = 1; other < shards; other++) addTerm(dtype, sum, slot(other, i));
      return new DenseTensor(dtype, shape, sum);
    });
  }

  async join(parts: readonly Part[], wanted = true): Promise<DenseTensor[]> {
    const { shard, gate } = this.#options;
    const shapes = parts.map(({ tensor, cut }) => wholeShape(tensor.shape, cut, shard));
    const lengths = parts.map(({ tensor }, i) => elementCount(shapes[i]!) * elementBytesOf(tensor.dtype));
    const sizes = lengths.map(aligned);
    const half = await this.#half(sizes.reduce((all, size) => all + size, 0));
    const places = offsets(sizes);
    parts.forEach(({ tensor, cut }, i) => {
      const whole = half.subarray(places[i], places[i]! + lengths[i]!);
      for (const piece of piecesOf(shapes[i]!, cut.axis, cut.ranges[shard]!, elementBytesOf(tensor.dtype))) whole.set(tensor.bytes.subarray(piece.part, piece.part + piece.length), piece.whole);
    });
    await gate.meet();
    return wanted ? parts.map(({ tensor }, i) => new DenseTensor(tensor.dtype, shapes[i]!, new Uint8Array(half.subarray(places[i], places[i]! + lengths[i]!)))) : [];
  }

  /** The half whose turn it is, with at least this many bytes. All shards ask for the same number, so all see that it is too small. */
  async #half(bytes: number): Promise<Uint8Array<SharedArrayBuffer>> {
    if (!this.#memory || this.#memory.byteLength / 2 < bytes) this.#memory = await this.#larger(bytes);
    const size = this.#memory.byteLength / 2;
    this.#turn = 1 - this.#turn;
    return new Uint8Array(this.#memory, this.#turn * size, size);
  }

  async #larger(bytes: number): Promise<SharedArrayBuffer> {
    const { shard, gate, peers } = this.#options;
    const before = this.#generation++;
    if (shard === 0) {
      const memory = new SharedArrayBuffer(2 * aligned(Math.max(bytes, 2 * ((this.#memory?.byteLength ?? 0) / 2))));
      for (const port of peers) port.postMessage(memory);
      gate.grow();
      return memory;
    }
    if (gate.generation <= before) await gate.grown(before);
    const received: { readonly message: unknown } | undefined = receiveMessageOnPort(peers[0] as unknown as NodePort);
    if (!received) throw new PenjingError('E_PEER', 'the shared memory of the shards did not arrive');
    return received.message as SharedArrayBuffer;
  }
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

function offsets(sizes: readonly number[]): number[] {
  let at = 0;
  return sizes.map((size) => (at += size) - size);
}

/** Whole elements of any type. */
function stripe(bytes: number, shard: number, shards: number): [from: number, to: number] {
  const lines = Math.ceil(bytes / ALIGNMENT);
  const at = (index: number): number => Math.min(bytes, Math.floor((lines * index) / shards) * ALIGNMENT);
  return [at(shard), at(shard + 1)];
}

function wholeShape(shape: Shape, cut: AxisCut, shard: number): number[] {
  if (shape[cut.axis] !== lengthOf(cut.ranges[shard]!)) throw new PenjingError('E_SHAPE', `a part has shape [${shape.join(', ')}], and must have ${lengthOf(cut.ranges[shard]!)} elements on axis ${cut.axis}`);
  return withSize(shape, cut.axis, sizeOf(cut));
}
