/** @penjing/parallel: plans for data, pipeline, tensor and task parallelism, as plain data. */
export type { Device, Link } from './plan/device.js';
export type { Forecast, Goal, Layout, Part, PlacedPart, Plan, PlannedModel, Reduction } from './plan/plan.js';
export { type CutBlock, cutBlocks, joinBlocks } from './split/cut-blocks.js';
export { type CutStagesOptions, cutStages, findCuts, type StageCut } from './split/cut-stages.js';
