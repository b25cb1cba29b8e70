/** @penjing/parallel/node: executors on one machine. */
export { type ChainOptions, openChain } from './chain.js';
export { type EnsembleOptions, openEnsemble } from './ensemble.js';
export { openLayout, type OpenLayoutOptions } from './open-layout.js';
export { inMicroBatches, type MicroBatches, openPipeline, type PipelineOptions } from './pipeline.js';
export { openReplicas, type ReplicasOptions } from './replicas.js';
export { openRevived } from './revived.js';
export { openShards, openTensor, type OpenTensorOptions } from './open-tensor.js';
export { openTasks, type TaskFunction, type TaskPart, type TasksOptions } from './tasks.js';
