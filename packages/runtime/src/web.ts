/** @penjing/runtime/web: the engine on onnxruntime-web, without anything of Node. */
export { type OrtWebEngineOptions, ortWebEngine } from './web/ort-web-engine.js';
export { type RandomFeedOptions, randomFeeds } from './random-feeds.js';
