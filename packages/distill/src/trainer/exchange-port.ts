/** A gradient exchange that lives in the calling thread, reached from the thread of the job: sockets must answer while an engine computes. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { GradientExchange, Round, RoundResult } from './gradient-exchange.js';

/** Plain data, but for the port, which is to be transferred. */
export interface ExchangePort {
  readonly rank: number;
  readonly world: number;
  readonly port: MessagePort;
}

type Reply = { readonly result: RoundResult } | { readonly failure: Failure };

interface Failure {
  readonly code: `E_${string}`;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** Answers rounds of the other side until it is disposed. */
export function serveExchange(exchange: GradientExchange): ExchangePort & Disposable {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }: MessageEvent<Round>) => {
    exchange.round(data).then(
      (result) => port1.postMessage({ result } satisfies Reply, buffersOf(result.vectors)),
      (error: unknown) => port1.postMessage({ failure: failureOf(error) } satisfies Reply),
    );
  };
  return { rank: exchange.rank, world: exchange.world, port: port2, [Symbol.dispose]: () => port1.close() };
}

/** The other side. One round at a time. */
export function exchangeAt({ rank, world, port }: ExchangePort): GradientExchange & Disposable {
  let settle: ((reply: Reply) => void) | undefined;
  port.onmessage = ({ data }: MessageEvent<Reply>) => settle?.(data);
  return {
    rank,
    world,
    async round({ vectors, take, said }) {
      const own = vectors.map(ownBuffer);
      const reply = await new Promise<Reply>((resolve) => {
        settle = resolve;
        port.postMessage({ vectors: own, take, said } satisfies Round, buffersOf(own));
      });
      if ('failure' in reply) throw new PenjingError(reply.failure.code, reply.failure.message, { ...(reply.failure.hint !== undefined && { hint: reply.failure.hint }) });
      return reply.result;
    },
    [Symbol.dispose]: () => port.close(),
  };
}

const buffersOf = (vectors: readonly Float32Array[]): ArrayBuffer[] => [...new Set(vectors.map(({ buffer }) => buffer as ArrayBuffer))];

/** A view of something larger would take that along. */
const ownBuffer = (vector: Float32Array): Float32Array => (vector.byteLength === vector.buffer.byteLength && vector.buffer instanceof ArrayBuffer ? vector : vector.slice());

function failureOf(error: unknown): Failure {
  if (isPenjingError(error)) return { code: error.code, message: error.message, hint: error.hint };
  return { code: 'E_PEER', message: error instanceof Error ? error.message : String(error) };
}
