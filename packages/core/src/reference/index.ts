/** @penjing/core/reference: the exact, slow engine that is the oracle for everything fast and needs no native code. */
export { type ReferenceItem, referenceEngine, runReference } from './engine.js';
export { referenceGaps } from './kernels.js';
