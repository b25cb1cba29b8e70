/** @penjing/parallel: plans for data, pipeline, tensor and task parallelism, as plain data. */
export type { Device, EngineSpeed, Ladder, Link, MeasuredSpeed } from './plan/device.js';
export type { Considered, Forecast, Goal, Layout, Part, PlacedPart, Plan, PlannedModel, Reduction } from './plan/plan.js';
export { type CutBlock, cutBlocks, joinBlocks } from './split/cut-blocks.js';
export { type CutStagesOptions, cutStages, findCuts, type StageCut } from './split/cut-stages.js';
export { type DeviceList, MAX_PLAN_BYTES, readDevices, readPlan } from './plan/read-plan.js';
export { completeSizes, type Sizes } from './cost/bind-sizes.js';
export { type CostBook, costBook } from './cost/cost-book.js';
export { type ForecastDetails, type ForecastOptions, forecastOf, type Span } from './simulate/forecast.js';
export { type TaskLabel } from './simulate/layout-tasks.js';
export { type Topology, topology } from './simulate/topology.js';
export { openShardsInTurn } from './tensor/run-sharded.js';
export { shardModel, type ShardOptions } from './tensor/shard-model.js';
export type { AxisCut, Gathered, ShardedLayer, ShardedModel, ShardedPort, TensorStep, Traffic } from './tensor/sharded-model.js';
export { type JobFailure, type JobSpec, type Json, type Outcome, jobId } from './jobs/job.js';
export { type JobCounts, type Published, type TakenJob, type WorkQueue } from './jobs/work-queue.js';
export { type MemoryQueueOptions, memoryQueue } from './jobs/memory-queue.js';
export { type WorkEvent, type WorkOptions, workOn } from './jobs/work-on.js';
export { type RunJobsOptions, runJobs } from './jobs/run-jobs.js';
