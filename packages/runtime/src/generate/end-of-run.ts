/** Keeps onnxruntime-node from copying what a run wrote into buffers of ours. */
import { type GraphBuilder, tensorType } from '@penjing/core';

/** An output that stands before the others. */
export const END_OF_RUN = 'end_of_run';

/**
 * onnxruntime-node lets a run write into tensors that it is given, and then copies each output into a new one all the same: for a cache, all of it in every step (as of 1.30, `OrtValueToNapiValue`). It turns
 * outputs into tensors in their order, and throws for a sequence, which it cannot turn; by then the run is over. A sequence in front therefore ends the run with nothing copied. `SessionTable.runInto` knows
 * that error from others; a binding that takes sequences one day copies again, and is as right.
 */
export function endOfRun(b: GraphBuilder): void {
  const end = b.op('SequenceConstruct', [b.constant('int64', [0])]);
  b.output(end, END_OF_RUN, { kind: 'sequence', of: tensorType('int64', [1]) });
  const { outputs } = b.graph;
  outputs.unshift(outputs.pop()!);
}

/** Whether a run ended as it should: ONNX Runtime computed everything, and the binding met the sequence. */
export const isEndOfRun = (error: unknown): boolean => error instanceof Error && error.message === NOT_TURNED;
const NOT_TURNED = 'Non tensor type is temporarily not supported.';
