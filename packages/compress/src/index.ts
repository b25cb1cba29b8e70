/** @penjing/compress: passes that project weights onto what a constraint allows, in a metric that may know the activations. */
export { magnitudePrune, type MagnitudePruneOptions } from './sparse/magnitude-prune.js';
export { sparseGpt, type SparseGptOptions, wanda, type WandaOptions } from './sparse/calibrated-prune.js';
export { type ActivationMetric, pruneJob, type PruneInput, type PruneOutput } from './sparse/prune-job.js';
export { lowRank, type LowRankOptions } from './low-rank/low-rank.js';
export { structuredPrune, type StructuredPruneOptions } from './structured/structured-prune.js';
export type { RankOptions } from './low-rank/rank-rule.js';
export { clusterBySensitivity, type ClusterOptions, clusterWeights } from './palette/cluster-weights.js';
