/** A gRPC stream as frames that are asked for one at a time; whoever asks late holds up the other side. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { ClientDuplexStream, ServerDuplexStream } from '@grpc/grpc-js';
import { broken, decodeFrame, encodeFrame, type Frame, type FrameKind, jsonFrame, jsonOf } from './frame.js';

export const TRAINING_PATH = '/penjing.Training/Join';

export type Call = ClientDuplexStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** Frames that came before anybody asked for them. */
const AHEAD = 4;

export interface FrameStream {
  /** Settles when the frame was handed on. */
  send(frame: Frame): Promise<void>;
  /** The next one, which must be this one. Throws `E_REQUEST` for another, and the reason when the stream has ended. */
  next(kind: FrameKind, round: number, index?: number): Promise<Frame>;
  /** Says why to the other side, and ends the stream. */
  fail(error: unknown): void;
  end(): void;
}

/** `onLost` hears once why the stream ended, whoever ended it. */
export function frameStream(call: Call, who: string, onLost: (error: PenjingError) => void): FrameStream {
  const queue: Frame[] = [];
  let waiting: (() => void) | undefined;
  const drained: (() => void)[] = [];
  let lost: PenjingError | undefined;
  const wake = (): void => {
    waiting?.();
    waiting = undefined;
    for (const resolve of drained.splice(0)) resolve();
  };
  const lose = (error: PenjingError): void => {
    if (lost) return;
    lost = error;
    wake();
    onLost(error);
  };
  call.on('data', (message: Buffer) => {
    try {
      const frame = decodeFrame(message);
      if (frame.kind === 'failure') return lose(failureOf(frame, who));
      queue.push(frame);
      if (queue.length >= AHEAD) call.pause();
      wake();
    } catch (error) {
      stream.fail(error);
    }
  });
  call.on('drain', wake);
  for (const event of ['end', 'close', 'cancelled']) call.on(event, () => lose(peerError(`${who} is lost: it has ended, or cannot be reached any more`)));
  call.on('error', (error: Error) => lose(peerError(`${who} is lost: ${error.message}`)));

  const stream: FrameStream = {
    async send(frame) {
      if (lost) throw lost;
      if (!call.write(encodeFrame(frame))) await new Promise<void>((resolve) => drained.push(resolve));
    },
    async next(kind, round, index = 0) {
      while (queue.length === 0) {
        if (lost) throw lost;
        await new Promise<void>((resolve) => (waiting = resolve));
      }
      const frame = queue.shift()!;
      if (queue.length < AHEAD) call.resume();
      if (frame.kind === kind && frame.round === round && frame.index === index) return frame;
      const error = broken(`${who} sent ${frame.kind} ${frame.round}.${frame.index}, not ${kind} ${round}.${index}`);
      stream.fail(error);
      throw error;
    },
    fail(error) {
      if (lost) return;
      const { code, message, hint } = isPenjingError(error) ? error : peerError(error instanceof Error ? error.message : String(error));
      call.write(encodeFrame(jsonFrame('failure', 0, { code, message: message.slice(0, 4096), hint: hint?.slice(0, 4096) })));
      call.end();
      lose(isPenjingError(error) ? error : peerError(message));
    },
    end() {
      if (!lost) call.end();
      lost ??= new PenjingError('E_DISPOSED', 'the exchange has been closed');
      wake();
    },
  };
  return stream;
}

export function peerError(message: string): PenjingError {
  return new PenjingError('E_PEER', message, { hint: 'Start all ranks again with --resume.' });
}

function failureOf(frame: Frame, who: string): PenjingError {
  const { code, message, hint } = jsonOf(frame) as { readonly code?: unknown; readonly message?: unknown; readonly hint?: unknown };
  const known = typeof code === 'string' && /^E_[A-Z0-9_]{1,40}$/.test(code) ? code : 'E_INTERNAL';
  // what keeps a rank out is its own failure; what ended another one is told as that
  if (known === 'E_KEY' || known === 'E_OPTION' || known === 'E_PEER') return new PenjingError(known, typeof message === 'string' ? message : `${who} failed`, { ...(typeof hint === 'string' && { hint }) });
  return new PenjingError('E_PEER', `${who} failed with ${known}: ${String(message)}`, { ...(typeof hint === 'string' && { hint }) });
}
