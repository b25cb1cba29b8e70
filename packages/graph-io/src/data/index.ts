/** @penjing/graph-io/data: readers of data to calibrate and measure with. */
export { dataLimits } from '../limits.js';
export type { DataItem, DataSource, Picture, Sound } from './data-source.js';
export { decodePicture, isPicture } from './picture.js';
export { readWave } from './wave.js';
export { openData, type OpenDataOptions } from './open-data.js';
export { utf8Text } from './utf8-text.js';
