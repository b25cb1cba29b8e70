/** @penjing/graph-io: model files to graphs and back. This entry works on byte sources; `./node` has files and threads. */
export type { FileLayout, LayoutPiece } from './layout.js';
export { type OnnxLimits, onnxLimits } from './limits.js';
export { type ReadOnnxOptions, readOnnx } from './onnx/read-onnx.js';
export { type SerializeOnnxOptions, serializeOnnx } from './onnx/serialize-onnx.js';
export { layoutToBytes } from './onnx/layout-bytes.js';
export { readNpy, writeNpy } from './npy.js';
export { type FormatName, SNIFF_BYTES, sniffFormat } from './sniff.js';
export {
  defineModule, type ForwardArgument, type ForwardCall, type ForwardFunction, type ForwardModule, type ForwardScope, type ForwardValue, type ModelFromPytorchOptions, modelFromPytorch,
  type ModuleDefinition, type OpenPytorchOptions, openPytorch, openPytorchIndex, pytorchLayout, type PytorchLayoutOptions,
} from './pytorch/index.js';
export { type ConvertPt2Options, type ConvertTorchScriptOptions, type ExportedProgram, type ScriptInput, atenOperators, convertPt2, openExportedProgram, openPt2, openTorchScript } from './torch/index.js';
export { type SafetensorsOptions, openSafetensors, openSafetensorsIndex, safetensorsLayout } from './safetensors/index.js';
export { type GgufFile, ggufLayout, type GgufLayoutOptions, type GgufMetadata, type GgufModel, type GgufTensor, type GgufValue, type GgufWeightType, ggufShardNames, ggufToHuggingFace, openGguf, openGgufShards } from './gguf/index.js';
export {
  type AttentionForm, type ConvertHuggingFaceOptions, type HuggingFaceConfig, type HuggingFaceFolder, type JsonObject, type ModelFolder, type Task,
  type TransformersJsDType, type TransformersJsVariant, checkpointLike, convertHuggingFace, convertHuggingFaceGraphs, mergeLora, companionFiles, configFile, GENAI_GRAPH, genaiFiles, openHuggingFaceConfig, openHuggingFaceFolder, type SupportedClass, supportedClasses,
  readPooling, transformersJsFiles,
  transformersJsModels, transformersJsPath,
} from './hf/index.js';
export { type SentencePieceOptions, type TokenizerJsonFiles, ggufTokenizer, readCharsmap, sentencePieceTokenizer } from './tokenizer/index.js';
export { blobSource } from './blob-source.js';
export { type HttpSourceOptions, httpSource } from './http-source.js';
export { type TfliteFile, openTflite } from './tflite/open-tflite.js';
export { type ReadTfliteOptions, type TfliteArithmetic, isTfliteOperatorRead, readTflite } from './tflite/read/read-tflite.js';
export { type TfliteOptions, tfliteLayout } from './tflite/write/tflite-layout.js';
