/** Where the shards of a model on several machines meet: the first shard, which the others ask for their inputs, and for what becomes of everyone's tensors. */
import { createHash } from 'node:crypto';
import { DenseTensor, type Feeds, type Fetches, fromPlainError, isPenjingError, PenjingError, type PlainError, type StringTensor } from '@penjing/core';
import { addTerm } from '../../tensor/add-terms.js';
import { joinParts, lengthOf } from '../../tensor/pieces.js';
import type { Part, ShardExchange } from '../../tensor/shard-program.js';
import type { AxisCut, ShardedModel } from '../../tensor/sharded-model.js';
import { broken } from '../frame.js';
import type { StageLimits } from '../stage-limits.js';
import { type StageFacts, unavailable } from '../stage-protocol.js';
import { type StageCall, StageStream } from '../stage-stream.js';
import { askOf, denseOnes, feedsMessage, numbered, unnumbered } from './shard-ask.js';

/** A shard asks for one thing at a time, and may say that it failed meanwhile. */
const WINDOW = 4;

interface Question {
  answer(values: Fetches): void;
  refuse(error: unknown): void;
}

interface Seat {
  stream: StageStream | undefined;
  /** The shard asked for something: it is of the same plan, and has cut the model alike. */
  present: boolean;
  /** Asks for the next run. */
  idle: Question | undefined;
}

export interface HubStreams {
  readonly epoch: number;
  readonly limits: StageLimits;
}

/** What all machines must have cut alike: the program and the borders. */
export function shardPart({ shards, program, inputs, outputs }: ShardedModel): string {
  return createHash('sha256').update(JSON.stringify([shards, program, inputs, outputs])).digest('hex').slice(0, 32);
}

export class ShardHub {
  readonly shards: number;
  /** Says that a shard came or went. */
  onChange: () => void = () => {};
  readonly #part: string;
  readonly #seats: Seat[];
  #run: HubRun | undefined;
  #runs = 0;

  constructor(sharded: ShardedModel) {
    this.shards = sharded.shards;
    this.#part = shardPart(sharded);
    this.#seats = Array.from({ length: sharded.shards - 1 }, () => ({ stream: undefined, present: false, idle: undefined }));
  }

  /** Why there can be no run now. */
  get missing(): PenjingError | undefined {
    const away = this.#seats.flatMap(({ present }, i) => (present ? [] : [`shard ${i + 1}`]));
    return away.length > 0 ? unavailable(`${away.join(', ')} ${away.length > 1 ? 'are' : 'is'} not there`) : undefined;
  }

  /** A stream of shard `shard`, whose token was checked. Throws `E_EXISTS` while the shard takes part: the server notices by its pings when that one is dead. */
  accept(call: StageCall, shard: number, { epoch, limits }: HubStreams): void {
    const seat = this.#seats[shard - 1]!;
    if (seat.present) throw new PenjingError('E_EXISTS', `shard ${shard} is there already`);
    const before = seat.stream;
    const facts: StageFacts = { inputs: [], outputs: [], window: WINDOW, requestBytes: limits.requestBytes, part: this.#part };
    const stream: StageStream = new StageStream(call, {
      epoch, limits: { ...limits, window: WINDOW }, state: () => facts,
      compute: (values, wanted, signal) => this.#ask(shard, stream, values, wanted, signal),
      onEnd: () => {
        if (seat.stream === stream) this.#leave(shard, seat);
      },
    });
    seat.stream = stream;
    before?.end(unavailable(`shard ${shard} came anew`));
  }

  #leave(shard: number, seat: Seat): void {
    seat.stream = undefined;
    seat.idle = undefined;
    if (!seat.present) return;
    seat.present = false;
    this.#run?.fail(unavailable(`shard ${shard} was lost`));
    this.onChange();
  }

  /** Begins a run at all shards, one at a time. `feeds` are what each of the others takes, in the order of the inputs. Throws `E_UNAVAILABLE` where a shard is missing. */
  begin(feeds: readonly (readonly (DenseTensor | StringTensor)[])[], wanted: readonly string[]): HubRun {
    const { missing } = this;
    if (missing) throw missing;
    const number = ++this.#runs;
    const run = new HubRun(number, this.shards, feeds.map((own) => feedsMessage({ run: number, feeds: own, wanted })));
    this.#run = run;
    for (const [i, seat] of this.#seats.entries()) this.#hand(run, i + 1, seat);
    return run;
  }

  /** The run is over on the first shard; what others still ask of it is refused. */
  leave(run: HubRun): void {
    run.fail(givenUp());
    if (this.#run === run) this.#run = undefined;
  }

  end(error: PenjingError): void {
    this.#run?.fail(error);
    for (const { stream } of this.#seats) stream?.end(error);
  }

  async #ask(shard: number, stream: StageStream, values: Feeds, wanted: readonly string[], signal: AbortSignal): Promise<Fetches> {
    const ask = askOf(wanted);
    const seat = this.#seats[shard - 1]!;
    if (seat.stream !== stream) throw unavailable(`shard ${shard} came anew`);
    if (!seat.present) {
      seat.present = true;
      this.onChange();
    }
    const run = this.#run;
    if (ask.kind === 'failed') {
      if (run?.number === ask.run) run.fail(failureOf(shard, ask.error));
      return {};
    }
    return await new Promise<Fetches>((resolve, reject) => {
      const question: Question = { answer: resolve, refuse: reject };
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      if (ask.kind !== 'feeds') return run?.number === ask.run ? run.offer(shard, { step: ask.step, values, question, gives: ask.kind === 'give' }) : reject(givenUp());
      seat.idle?.refuse(broken('a shard asks for two runs'));
      seat.idle = question;
      if (!run) return;
      this.#hand(run, shard, seat);
      if (seat.idle) run.left(shard);
    });
  }

  /** A shard that is still in a run that was given up takes the next one when it has left that. */
  #hand(run: HubRun, shard: number, seat: Seat): void {
    const feeds = seat.idle && run.take(shard);
    if (!feeds) return;
    seat.idle?.answer(feeds);
    seat.idle = undefined;
  }
}

/** What another shard lost is not lost here: nothing is to be opened anew. */
function failureOf(shard: number, { code, message }: PlainError): PenjingError {
  const text = `shard ${shard}: ${message}`;
  return code === 'E_WORKER' || code === 'E_DISPOSED' ? unavailable(text) : fromPlainError({ code, message: text });
}

function givenUp(): PenjingError {
  return new PenjingError('E_PEER', 'the run was given up');
}

interface Offer {
  readonly step: number;
  readonly values: Feeds;
  readonly question: Question;
  /** Wants nothing back. */
  readonly gives: boolean;
}

/** One run, as the first shard takes part in it. */
export class HubRun implements ShardExchange {
  readonly number: number;
  /** By shard, without the first one. */
  readonly #feeds: (Fetches | undefined)[];
  readonly #offers: (Offer | undefined)[];
  readonly #left = new Set<number>();
  #step = 0;
  #failure: PenjingError | undefined;
  #wake = (): void => {};

  constructor(number: number, shards: number, feeds: readonly Fetches[]) {
    this.number = number;
    this.#feeds = [...feeds];
    this.#offers = Array.from({ length: shards - 1 }, () => undefined);
  }

  /** A shard that has begun wants no more of this run: it is done with it, or has lost a message. */
  left(shard: number): void {
    this.#left.add(shard);
    this.#wake();
  }

  /** What a shard begins with, once. */
  take(shard: number): Fetches | undefined {
    const feeds = this.#failure ? undefined : this.#feeds[shard - 1];
    this.#feeds[shard - 1] = undefined;
    return feeds;
  }

  offer(shard: number, offer: Offer): void {
    if (this.#failure || this.#left.has(shard)) return offer.question.refuse(givenUp());
    if (this.#offers[shard - 1]) return offer.question.refuse(broken('a shard offers twice'));
    this.#offers[shard - 1] = offer;
    this.#wake();
  }

  /** Throws why the run was given up. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Gives the run up on all shards. The first reason counts. */
  fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = isPenjingError(error) ? error : new PenjingError('E_ENGINE', error instanceof Error ? error.message : String(error), { cause: error });
    this.#feeds.fill(undefined);
    for (const offer of this.#offers) offer?.question.refuse(givenUp());
    this.#offers.fill(undefined);
    this.#wake();
  }

  sum(terms: readonly DenseTensor[]): Promise<DenseTensor[]> {
    return this.#exchange(terms.length, (others) => terms.map((term, i) => {
      const sum = new Uint8Array(term.bytes);
      for (const own of others) {
        checkAlike(own[i]!, term, term.shape);
        addTerm(term.dtype, sum, own[i]!.bytes);
      }
      return new DenseTensor(term.dtype, term.shape, sum);
    }));
  }

  join(parts: readonly Part[]): Promise<DenseTensor[]> {
    return this.#exchange(parts.length, (others) => parts.map(({ tensor, cut }, i) => {
      others.forEach((own, k) => checkAlike(own[i]!, tensor, partShape(tensor, cut, k + 1)));
      return joinParts([tensor, ...others.map((own) => own[i]!)], cut);
    }));
  }

  /** `combine` gets what the others have, in the order of shards. */
  async #exchange(count: number, combine: (others: readonly (readonly DenseTensor[])[]) => DenseTensor[]): Promise<DenseTensor[]> {
    const step = this.#step++;
    for (;;) {
      this.check();
      const away = this.#offers.flatMap((offer, i) => (offer ? [] : [i + 1]));
      if (away.length === 0) break;
      const gone = away.find((shard) => this.#left.has(shard));
      if (gone !== undefined) throw unavailable(`shard ${gone} has left the run: a message was lost or damaged`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const offers = this.#offers.splice(0, this.#offers.length, ...this.#offers.map(() => undefined)) as Offer[];
    try {
      const stray = offers.find((offer) => offer.step !== step);
      if (stray) throw broken(`a shard is at exchange ${stray.step}, the first one at ${step}`);
      const results = combine(offers.map(({ values }) => denseOnes(unnumbered(values, count))));
      for (const { question, gives } of offers) question.answer(gives ? {} : numbered(results));
      return results;
    } catch (error) {
      for (const { question } of offers) question.refuse(givenUp());
      throw error;
    }
  }
}

const partShape = (own: DenseTensor, { axis, ranges }: AxisCut, shard: number): number[] => own.shape.map((dim, i) => (i === axis ? lengthOf(ranges[shard]!) : dim));

/** Throws `E_REQUEST`. */
function checkAlike(theirs: DenseTensor, own: DenseTensor, shape: readonly number[]): void {
  if (theirs.dtype === own.dtype && theirs.shape.length === shape.length && theirs.shape.every((dim, i) => dim === shape[i])) return;
  throw broken(`a shard sends ${theirs.dtype} [${theirs.shape.join(', ')}] where ${own.dtype} [${shape.join(', ')}] belongs`);
}
