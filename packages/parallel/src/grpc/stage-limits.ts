/** What a peer may ask of a stage: every number a message claims is checked against these before anything is allocated. */

export interface StageLimits {
  /** Tensor bytes of one frame; larger tensors travel in slices. Frames of 1 MB keep one long request from standing before pings and cancellations. */
  readonly frameBytes: number;
  /** Tensor bytes of one request or result. 512 tokens of 16,384 float32 take 32 MB; a stage may hold `window` times as much. */
  readonly requestBytes: number;
  /** Requests of one stream under way: what a stage takes in before it answered. */
  readonly window: number;
  /** Streams at a time: the stages or fronts before this one. */
  readonly streams: number;
  /** Requests that wait for a place in the window, in the client; beyond that `E_OVERLOADED`. */
  readonly waiting: number;
}

export const stageLimits: StageLimits = { frameBytes: 1 << 20, requestBytes: 1 << 28, window: 16, streams: 16, waiting: 1024 };

/** Bytes of a frame beside its tensors: names, shapes, parameters, and the signature of a stage. */
export const HEAD_BYTES = 1 << 20;

/** Bytes handed to gRPC and not yet written by it; its own bound is 16 messages, whatever they hold. */
export const UNWRITTEN_BYTES = 1 << 21;

export interface KeepAlive {
  /** A ping is sent after so long. */
  readonly intervalMs: number;
  /** The peer is lost when a ping is not answered in so long: a black hole and a stopped process are noticed by nothing else. */
  readonly timeoutMs: number;
}

export const keepAlive: KeepAlive = { intervalMs: 2000, timeoutMs: 4000 };
