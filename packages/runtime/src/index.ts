/** @penjing/runtime: models on ONNX Runtime in worker threads, tokenizers, generation, comparison and benchmarks. */
export { type LoadBytesOptions, type LoadOptions, type OrtEngine, type OrtEngineOptions, ortEngine } from './engine/ort-engine.js';
export type { ExternalFile } from './engine/open.js';
export type { SessionOptions } from './engine/settings.js';
