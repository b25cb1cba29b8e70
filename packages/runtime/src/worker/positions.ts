/** How many positions of a long text go through a decoder at once. */

/** Logits of one run stay under this many bytes: outputs are copied out of ONNX Runtime into fresh pages. */
const LOGIT_BYTES = 64 * 2 ** 20;
const MOST_POSITIONS = 512;

export function positionsPerRun(vocabSize = 2 ** 17): number {
  return Math.max(1, Math.min(MOST_POSITIONS, Math.floor(LOGIT_BYTES / (4 * vocabSize))));
}
