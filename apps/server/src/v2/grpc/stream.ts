/** ModelStreamInfer: many requests on one stream, worked on together and answered in their order. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { decodeGrpcInferRequest, encodeGrpcStreamResponse, type GrpcInferRequest } from '@penjing/graph-io/v2';
import { grpcError } from './status.js';

/** Requests of one stream under way; the client is told to wait beyond. */
export const AT_ONCE = 64;

export type Answer = (request: GrpcInferRequest) => Promise<Parameters<typeof encodeGrpcStreamResponse>[0]>;

export function serveStream(call: ServerDuplexStream<Buffer, Buffer>, answer: Answer): void {
  let last = Promise.resolve();
  let underWay = 0;
  call.on('data', (bytes: Buffer) => {
    if (++underWay >= AT_ONCE) call.pause();
    const answered = reply(bytes, answer);
    last = last.then(async () => {
      const message = await answered;
      if (!call.cancelled && !call.write(Buffer.from(message.buffer, message.byteOffset, message.byteLength))) await drained(call);
      if (--underWay < AT_ONCE) call.resume();
    });
  });
  call.on('end', () => void last.then(() => call.end()));
  call.on('error', () => {}); // the client has gone; the signal says so to the work
}

/** A request that fails is answered in the stream, which goes on. */
async function reply(bytes: Buffer, answer: Answer): Promise<Uint8Array> {
  let id: string | undefined;
  try {
    const request = decodeGrpcInferRequest(bytes);
    id = request.id;
    return encodeGrpcStreamResponse(await answer(request));
  } catch (error) {
    return encodeGrpcStreamResponse({ error: grpcError(error).details, ...(id !== undefined && { id }) });
  }
}

function drained(call: ServerDuplexStream<Buffer, Buffer>): Promise<void> {
  const events = ['drain', 'cancelled', 'close'] as const;
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of events) call.off(event, done);
      resolve();
    };
    for (const event of events) call.on(event, done);
  });
}
