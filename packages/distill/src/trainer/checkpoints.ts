/** Checkpoints of a run on a shelf: whole or not at all, and the last good one stays until the next is complete. */
import { decodeText, DenseTensor, encodeText, isPenjingError, PenjingError, sha256, type Shelf } from '@penjing/core';
import type { Buffers } from '../optimizers/optimizer.js';

/** A measurement on the validation data. */
export interface Validation {
  readonly step: number;
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** How far a run is, beside its weights. */
export interface RunState {
  /** Steps that are done. */
  readonly step: number;
  /** Seconds of training so far, of earlier parts of the run too. */
  readonly elapsed: number;
  /** Loss and rate of each step. */
  readonly losses: readonly number[];
  readonly rates: readonly number[];
  readonly validations: readonly Validation[];
  /** The best validation so far, and how many came after it. */
  readonly best?: { readonly step: number; readonly loss: number } | undefined;
  readonly worse: number;
}

export interface Checkpoint {
  readonly state: RunState;
  /** Weights, and what the optimizer keeps. */
  readonly weights: Buffers;
  /** Moving averages of the weights, where there are any. */
  readonly average: Buffers | undefined;
  readonly optimizer: Buffers;
}

/** Two of these alternate on the shelf: the one with the higher number that is complete counts. */
interface Head {
  readonly format: typeof FORMAT;
  /** What the run is of: one that goes on must be of the same. */
  readonly key: string;
  readonly number: number;
  readonly state: RunState;
  readonly parts: Readonly<Record<Kind, readonly Part[]>>;
  /** What was measured best: weights or averages under the number of their checkpoint. */
  readonly best?: { readonly number: number; readonly kind: Kind; readonly parts: readonly Part[] } | undefined;
}

/** A buffer: its place on the shelf follows from the number of the checkpoint and its name. */
interface Part {
  readonly name: string;
  readonly sha256: string;
}

type Kind = 'weights' | 'average' | 'optimizer';
const kinds: readonly Kind[] = ['weights', 'average', 'optimizer'];

const FORMAT = 'penjing-training-1';
const headName = (number: number): string => `head-${number % 2}`;
const partName = (number: number, kind: Kind, name: string): string => `${number}/${kind}/${name}`;

export class Checkpoints {
  readonly #shelf: Shelf;
  readonly #key: string;
  #head: Head | undefined;
  /** Checkpoints that may be gone when the next is complete: the one before the last stays, should the disk have lied about the last. */
  #previous: Head | undefined;

  private constructor(shelf: Shelf, key: string, head: Head | undefined, previous: Head | undefined) {
    this.#shelf = shelf;
    this.#key = key;
    this.#head = head;
    this.#previous = previous;
  }

  /** Throws `E_RESUME` for a shelf with checkpoints of something else. */
  static async open(shelf: Shelf, key: string): Promise<Checkpoints> {
    const heads = (await Promise.all([0, 1].map((number) => readHead(shelf, number)))).filter((head) => head !== undefined).sort((a, b) => b.number - a.number);
    const other = heads.find((head) => head.key !== key);
    if (other) throw new PenjingError('E_RESUME', 'the checkpoints are of another run: of another model, other data, or other weights to train', { hint: 'Run again without --resume: they are deleted then.' });
    const [head, previous] = heads;
    return new Checkpoints(shelf, key, head, previous);
  }

  /** Of the last complete checkpoint. */
  get step(): number | undefined {
    return this.#head?.state.step;
  }

  /** The last complete checkpoint, or the one before when its bytes are not what was written. Throws `E_RESUME` when neither is. */
  async load(): Promise<Checkpoint | undefined> {
    for (const head of [this.#head, this.#previous]) {
      if (!head) continue;
      const read = async (kind: Kind): Promise<Buffers | undefined> => this.#read(head.number, kind, head.parts[kind]);
      const [weights, average, optimizer] = [await read('weights'), await read('average'), await read('optimizer')];
      if (!weights || !average || !optimizer) continue;
      this.#head = head;
      return { state: head.state, weights, average: average.size > 0 ? average : undefined, optimizer };
    }
    if (this.#head) throw new PenjingError('E_RESUME', 'the checkpoints are damaged', { hint: 'Run again without --resume.' });
    return undefined;
  }

  /** Weights of the best validation. Throws `E_RESUME` when they are damaged. */
  async best(): Promise<Buffers | undefined> {
    const best = this.#head?.best;
    if (!best) return undefined;
    const weights = await this.#read(best.number, best.kind, best.parts);
    if (!weights) throw new PenjingError('E_RESUME', 'the best checkpoint is damaged', { hint: 'Run again without --resume.' });
    return weights;
  }

  /** `best` tells that no validation was better than that of these weights. Throws `E_DISK_FULL` and the like; the last checkpoint then is as it was. */
  async save({ state, weights, average, optimizer }: Checkpoint, best: boolean): Promise<void> {
    const last = this.#head;
    const number = (last?.number ?? 0) + 1;
    const parts = {
      weights: await this.#write(number, 'weights', weights),
      average: await this.#write(number, 'average', average ?? new Map()),
      optimizer: await this.#write(number, 'optimizer', optimizer),
    };
    const kind = average ? 'average' : 'weights';
    const complete: Head = { format: FORMAT, key: this.#key, number, state, parts, best: best ? { number, kind, parts: parts[kind] } : last?.best };
    await this.#shelf.put(headName(number), await sealed(complete));
    const gone = this.#previous;
    this.#previous = last;
    this.#head = complete;
    if (gone) await this.#clear(gone);
  }

  async #write(number: number, kind: Kind, buffers: Buffers): Promise<Part[]> {
    const parts: Part[] = [];
    for (const [name, buffer] of buffers) {
      // a copy: a shelf in memory keeps what it is given, and the next step writes over it
      const tensor = DenseTensor.of('float32', [buffer.length], buffer.slice());
      await this.#shelf.put(partName(number, kind, name), tensor);
      parts.push({ name, sha256: await sha256(tensor.bytes) });
    }
    return parts;
  }

  async #read(number: number, kind: Kind, parts: readonly Part[]): Promise<Buffers | undefined> {
    const buffers = new Map<string, Float32Array>();
    for (const part of parts) {
      const tensor = await taken(this.#shelf, partName(number, kind, part.name));
      if (!tensor || (await sha256(tensor.bytes)) !== part.sha256) return undefined;
      buffers.set(part.name, (tensor.data as Float32Array).slice());
    }
    return buffers;
  }

  /** What neither the last two checkpoints nor the best one need. */
  async #clear(gone: Head): Promise<void> {
    const heads = [this.#head, this.#previous];
    const needed = new Set(heads.flatMap((head) => (head ? [...kinds.map((kind) => `${head.number}/${kind}`), ...(head.best ? [`${head.best.number}/${head.best.kind}`] : [])] : [])));
    const old = [...kinds.map((kind) => ({ number: gone.number, kind, parts: gone.parts[kind] })), ...(gone.best ? [gone.best] : [])];
    for (const { number, kind, parts } of old) {
      if (!needed.has(`${number}/${kind}`)) for (const { name } of parts) await this.#shelf.delete(partName(number, kind, name));
    }
  }
}

/** The text of a head behind its hash. */
async function sealed(head: Head): Promise<DenseTensor> {
  const text = JSON.stringify(head);
  const bytes = encodeText((await sha256(text)) + text);
  return new DenseTensor('uint8', [bytes.length], bytes);
}

const HASH_LENGTH = 64;

async function readHead(shelf: Shelf, number: number): Promise<Head | undefined> {
  const tensor = await taken(shelf, headName(number));
  if (!tensor) return undefined;
  const text = decodeText(tensor.bytes);
  if ((await sha256(text.slice(HASH_LENGTH))) !== text.slice(0, HASH_LENGTH)) return undefined;
  const head = JSON.parse(text.slice(HASH_LENGTH)) as Head;
  return head.format === FORMAT ? head : undefined;
}

/** Undefined for what is not there, or is cut off. */
async function taken(shelf: Shelf, name: string): Promise<DenseTensor | undefined> {
  return shelf.get(name).catch((error: unknown) => {
    if (isPenjingError(error) && error.code === 'E_NOT_FOUND') return undefined;
    // A file that a crash cut off cannot be read as a tensor.
    if (isPenjingError(error) && error.code === 'E_TRUNCATED') return undefined;
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  });
}
