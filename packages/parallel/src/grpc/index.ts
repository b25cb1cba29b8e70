/** @penjing/parallel/grpc: pipeline stages, shards, and trainings, on several machines, over gRPC. */
export { openStages, type RemoteStages, type StagesOptions } from './open-stages.js';
export { planEpoch } from './plan-epoch.js';
export type { StageSecurity, StageTls } from './security.js';
export { serveStage, type Stage, type StageOptions } from './serve-stage.js';
export { type KeepAlive, stageLimits, type StageLimits } from './stage-limits.js';
export type { StagePlace } from './stage-link.js';
export type { StageCancels, StageFacts } from './stage-protocol.js';
export { joinShards, type JoinedShard, type JoinShardsOptions } from './shards/join-shards.js';
export { type FirstShardOptions, openFirstShard } from './shards/open-first-shard.js';
export { ShardHub } from './shards/shard-hub.js';
export { joinTraining, type JoinTrainingOptions } from './training/join-training.js';
export type { Mean, TrainingExchange, TrainingRound } from './training/training-exchange.js';
