/** @penjing/core/calibrate: weight matrices, and statistics of the activations that reach them, gathered block by block. */
export { type CalibrateOptions, type CalibratedBlock, type CalibrationOptions, calibrateBlocks, type GatheredStatistics } from './calibrate-blocks.js';
export { type CalibrateLayersOptions, type CalibratedLayers, calibrateLayers } from './calibrate-layers.js';
export { blockJob, type Collected, type StatisticRequest } from './block-job.js';
export type { CalibrationStore } from './calibration-store.js';
export { type StatisticField, statisticFields, type StatisticName, type Statistics } from './collectors/index.js';
export type { HistogramStatistic } from './collectors/histogram.js';
export { extractModel } from './extract-model.js';
export { type LastBlock, type LastBlockOptions, countBlocks, runToLastBlock } from './run-to-last-block.js';
export { type HessianSums, readHessian } from './read-hessian.js';
export { type LayerGroup, layerGroups } from './layer-groups.js';
export { keepSamples, type KeptSamples } from './keep-samples.js';
export { shelfName } from './block-job.js';
export { shelveSamples } from './shelve-samples.js';
export { orProblem } from './or-problem.js';
export { type LossInput, type LossMeter, lossMeter, type MatrixLosses, type SampledRows } from './loss-meter.js';
export { type CandidateLoss, type LossMeasure, type WeightLosses, weightLosses, type WeightLossOptions } from './weight-losses.js';
export { type SkippedWeight, type WeightKind, type WeightMatrix, type WeightSite, weightMatrices } from './weight-matrices.js';
export { entropyRange, mseRange, percentileRange, type ValueRange } from './thresholds.js';
