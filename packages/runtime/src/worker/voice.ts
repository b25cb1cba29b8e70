/** Runs a recurrent detector of voice over a sound, window after window, with its state and its samples in this thread. */
import type { SessionTable } from './session-table.js';
import type { CallContext } from './wire-types.js';

export interface VoiceParams {
  readonly handle: number;
  readonly samples: Float32Array;
  readonly rate: number;
  /** Samples of a window, and how many of those before it are seen with it. */
  readonly window: number;
  readonly context: number;
  /** (2, 1, width). */
  readonly stateWidth: number;
}

/** Windows done. */
export interface VoiceEvent {
  readonly windows: number;
}

/** Runs between looks at the signal: some 10 ms. */
const STRIDE = 64;

/** The probability of voice in each window; the last one is filled up with silence. */
export async function voice(sessions: SessionTable, { handle, samples, rate, window, context, stateWidth }: VoiceParams, { signal, emit }: CallContext<VoiceEvent>): Promise<Float32Array> {
  const { Tensor } = sessions.api;
  const count = Math.ceil(samples.length / window);
  const probabilities = new Float32Array(count);
  const sr = new Tensor('int64', BigInt64Array.of(BigInt(rate)), []);
  let state = new Tensor('float32', new Float32Array(2 * stateWidth), [2, 1, stateWidth]) as Awaited<ReturnType<SessionTable['run']>>[string];
  for (let i = 0; i < count; i++) {
    if (i % STRIDE === 0) {
      await new Promise(setImmediate);
      signal.throwIfAborted();
      emit({ windows: i });
    }
    const start = i * window - context;
    const input = new Float32Array(context + window);
    input.set(samples.subarray(Math.max(0, start), i * window + window), Math.max(0, -start));
    const { output, stateN } = await sessions.run(handle, { input: new Tensor('float32', input, [1, input.length]), state, sr }, ['output', 'stateN']);
    probabilities[i] = (output!.data as Float32Array)[0]!;
    state = stateN!;
  }
  return probabilities;
}
