/** A gradient exchange that lives in the calling thread, reached from the thread of the job: sockets must answer while an engine computes. */
import { fromPlainError, type PlainError, toPlainError } from '@penjing/core';
import type { GradientExchange, Mean, Round, RoundResult, Said } from './gradient-exchange.js';

/** Plain data, but for the port, which is to be transferred. */
export interface ExchangePort {
  readonly rank: number;
  readonly world: number;
  readonly port: MessagePort;
}

/** What the thread of the job asks, and what it answers when it was asked for a mean. */
type Asked = { readonly vectors: readonly Float32Array[]; readonly take: Round['take']; readonly said: Said } | Averaged;
type Averaged = { readonly mean: Float32Array } | { readonly failure: PlainError };
type Reply = { readonly result: RoundResult } | { readonly failure: PlainError } | { readonly parts: readonly Float32Array[] };

/** Answers rounds of the other side until it is disposed. What is to be computed for a round goes back there: that thread waits, this one serves sockets. */
export function serveExchange(exchange: GradientExchange): ExchangePort & Disposable {
  const { port1, port2 } = new MessageChannel();
  /** Asked and not answered; answers come in their order. */
  const asked: ((answer: Averaged) => void)[] = [];
  const mean: Mean = (parts) => new Promise((resolve, reject) => {
    asked.push((answer) => ('mean' in answer ? resolve(answer.mean) : reject(fromPlainError(answer.failure))));
    const own = parts.map(ownBuffer);
    port1.postMessage({ parts: own } satisfies Reply, buffersOf(own));
  });
  port1.onmessage = ({ data }: MessageEvent<Asked>) => {
    if (!('vectors' in data)) return asked.shift()?.(data);
    const { vectors, take, said } = data;
    exchange.round({ vectors, said, ...(take === 'mean' ? { take, mean } : { take }) }).then(
      (result) => port1.postMessage({ result } satisfies Reply, buffersOf(result.vectors)),
      (error: unknown) => port1.postMessage({ failure: toPlainError(error, 'E_PEER') } satisfies Reply),
    );
  };
  return {
    rank: exchange.rank, world: exchange.world, port: port2,
    [Symbol.dispose]: () => {
      port1.close();
      for (const answer of asked.splice(0)) answer({ failure: { code: 'E_PEER', message: 'the training has ended' } });
    },
  };
}

/** The other side. One round at a time. */
export function exchangeAt({ rank, world, port }: ExchangePort): Omit<GradientExchange, 'fail'> & Disposable {
  let heard: ((reply: Reply) => void) | undefined;
  let averaging = Promise.resolve();
  port.onmessage = ({ data }: MessageEvent<Reply>) => heard?.(data);
  return {
    rank,
    world,
    async round(round) {
      const { take, said } = round;
      const own = round.vectors.map(ownBuffer);
      const reply = await new Promise<Exclude<Reply, { readonly parts: unknown }>>((resolve) => {
        heard = (one) => {
          if (!('parts' in one)) return resolve(one);
          if (round.take === 'mean') averaging = averaging.then(() => average(round.mean, one.parts, port));
        };
        port.postMessage({ vectors: own, take, said } satisfies Asked, buffersOf(own));
      });
      if ('failure' in reply) throw fromPlainError(reply.failure);
      return reply.result;
    },
    [Symbol.dispose]: () => port.close(),
  };
}

async function average(mean: Mean, parts: readonly Float32Array[], port: MessagePort): Promise<void> {
  try {
    const made = ownBuffer(await mean(parts));
    port.postMessage({ mean: made } satisfies Asked, buffersOf([made]));
  } catch (error) {
    port.postMessage({ failure: toPlainError(error, 'E_PEER') } satisfies Asked);
  }
}

const buffersOf = (vectors: readonly Float32Array[]): ArrayBuffer[] => [...new Set(vectors.map(({ buffer }) => buffer as ArrayBuffer))];

/** A view of something larger would take that along. */
const ownBuffer = (vector: Float32Array): Float32Array => (vector.byteLength === vector.buffer.byteLength && vector.buffer instanceof ArrayBuffer ? vector : vector.slice());
