/** safetensors: a validated reader, sharded or not, and a deterministic writer. */
export { openSafetensors } from './open.js';
export { openSafetensorsIndex, openShards } from './shards.js';
export { type SafetensorsOptions, safetensorsLayout } from './layout.js';
