/** GGUF: a validated reader, whole or in shards. */
export type { GgufMetadata, GgufValue } from './metadata.js';
export { type GgufFile, type GgufTensor, openGguf } from './open.js';
export { ggufShardNames, openGgufShards } from './shards.js';
export { ggufToHuggingFace } from './folder.js';
export { ggufLayout, type GgufLayoutOptions, type GgufModel, type GgufWeightType } from './layout.js';
