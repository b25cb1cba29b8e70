/** @penjing/runtime: models on ONNX Runtime in worker threads, tokenizers, generation, comparison and benchmarks. */
export { type LoadBytesOptions, type LoadOptions, type OrtEngine, type OrtEngineOptions, ortEngine } from './engine/ort-engine.js';
export { type OrtJobsOptions, ortJobs } from './jobs/ort-jobs.js';
export type { ExternalFile } from './engine/model-source.js';
export type { SessionOptions } from './engine/settings.js';
export type { ModelReference } from './open-reference.js';
export { type DecodeOptions, type EncodeOptions, type Tokenizer } from './tokenize/tokenizer.js';
export { loadTokenizer } from './tokenize/tokenizer-files.js';
export type { StreamDecoder } from './tokenize/stream-decoder.js';
export type { ChatMessage, ChatTemplateOptions } from './tokenize/chat-template.js';
export { type Generation, type Generator, type GeneratorOptions, type Prompt, type TextPiece, loadGenerator } from './generate/generator.js';
export type { GenerateOptions } from './generate/options.js';
export { type CompareOptions, type ComparedModel, type ComparedOutput, type Comparison, compareModels, type ModelComparison, openComparison } from './compare/compare-models.js';
export { type EvaluateOptions, type Evaluation, evaluateModel } from './compare/evaluate-model.js';
export type { LabelledFeeds, Samples } from './compare/samples.js';
export type { KlHistogram, LanguageOptions } from './compare/language.js';
export { type BenchOptions, type BenchReport, type Machine, benchModel, machine } from './bench/bench-model.js';
export type { Latency } from './bench/percentiles.js';
export { type RandomFeedOptions, randomFeeds } from './random-feeds.js';
