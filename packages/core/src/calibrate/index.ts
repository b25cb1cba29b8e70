/** @penjing/core/calibrate: statistics of activations, gathered block by block. */
export { type CalibrateOptions, type CalibratedBlock, calibrateBlocks } from './calibrate-blocks.js';
export { type StatisticName, type Statistics } from './collectors.js';
export { extractModel } from './extract-model.js';
