/** Hugging Face folders: open, convert, and lay out for transformers.js. */
export type { JsonObject, ModelFolder } from './folder.js';
export { type HuggingFaceConfig, type HuggingFaceFolder, openHuggingFaceConfig, openHuggingFaceFolder } from './open.js';
export { type ConvertHuggingFaceOptions, convertHuggingFace, convertHuggingFaceGraphs } from './convert.js';
export { checkpointLike } from './checkpoint-like.js';
export { mergeLora } from './lora.js';
export type { Task } from './architecture.js';
export { type SupportedClass, supportedClasses } from './registry.js';
export type { AttentionForm } from './blocks/attention.js';
export { type TransformersJsDType, type TransformersJsVariant, transformersJsFiles, transformersJsModels, transformersJsPath } from './transformers-js.js';
export { GENAI_GRAPH, genaiFiles } from './genai.js';
export { companionFiles, configFile } from './companion-files.js';
export { readPooling } from './sentence/pooling-config.js';
