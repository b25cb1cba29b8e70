/** @penjing/core/calibrate: statistics of activations, gathered block by block. */
export { type CalibrateOptions, type CalibratedBlock, calibrateBlocks } from './calibrate-blocks.js';
export { type StatisticName, type Statistics } from './collectors/index.js';
export type { HistogramStatistic } from './collectors/histogram.js';
export { extractModel } from './extract-model.js';
export { entropyRange, mseRange, percentileRange, type ValueRange } from './thresholds.js';
