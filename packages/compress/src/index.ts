/** @penjing/compress: passes that project weights onto what a constraint allows, in a metric that may know the activations. */
export { magnitudePrune, type MagnitudePruneOptions } from './sparse/magnitude-prune.js';
export { type PruneRule, sparseGpt, type SparseGptOptions, wanda, type WandaOptions } from './sparse/calibrated-prune.js';
export { storeSparse, type StoreSparseOptions } from './sparse/store-sparse.js';
export { pruneLosses } from './sparse/prune-losses.js';
export type { SparseCandidate } from './sparse/prune-loss-job.js';
export { type ActivationMetric, pruneJob, type PruneInput, type PruneOutput } from './sparse/prune-job.js';
export { lowRank, type LowRankOptions } from './low-rank/low-rank.js';
export { type FactorMetric, factorsJob, spectrumJob } from './low-rank/factor-job.js';
export type { Gate } from './structured/gate-job.js';
export type { GateModel } from './structured/taylor.js';
export { pruneWidth, type PruneWidthOptions } from './structured/prune-width.js';
export { structuredPrune, type StructuredPruneOptions } from './structured/structured-prune.js';
export type { RankOptions } from './low-rank/rank-rule.js';
export { clusterBySensitivity, type ClusterOptions, type ClusterRule, clusterWeights } from './palette/cluster-weights.js';
export { paletteJob } from './palette/palette-job.js';
export { paletteLosses } from './palette/palette-losses.js';
export type { PaletteCandidate } from './palette/palette-loss-job.js';
