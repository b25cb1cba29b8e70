/** @penjing/distill: training of ONNX graphs with any engine: gradients as graph transformations, optimizers over buffers that the caller owns. */
export { type DifferentiateOptions, differentiate, gradientName, missingGradients } from './gradient/differentiate.js';
export { makeTrainable, type Trainable } from './trainable/make-trainable.js';
export { type TrainableOptions, trainableInputs } from './trainable-inputs.js';
export type { Buffers, Optimizer, Schedule } from './optimizers/optimizer.js';
export { chain } from './optimizers/chain.js';
export { type SgdOptions, sgd } from './optimizers/sgd.js';
export { type AdamWOptions, adamW } from './optimizers/adam-w.js';
export { type LionOptions, lion } from './optimizers/lion.js';
export { clipByNorm, clipByValue, globalNorm } from './optimizers/clip.js';
export { movingAverage } from './optimizers/average.js';
export { cosineDecay, type DecayOptions, linearDecay } from './optimizers/schedules.js';
export { addLoss, type Loss, type LossContext, weightedSum } from './losses/loss.js';
export { crossEntropy, type CrossEntropyOptions } from './losses/cross-entropy.js';
export { softTargets, type SoftTargetsOptions } from './losses/soft-targets.js';
export { cosineDistance, type MatchOptions, meanSquare } from './losses/regression.js';
export { holdZeros, type HoldZerosOptions, prunedWeights } from './recover/hold-zeros.js';
export { keepLayers, type KeepLayersOptions } from './students/keep-layers.js';
export { chooseLayers, type LayerChoice, layerMap } from './students/layer-map.js';
