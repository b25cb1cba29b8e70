/** Every format that can be opened, in the order in which folders are tried. A new one is a file here and a line. */
import { ggufInput } from './gguf.js';
import { huggingFaceInput } from './hugging-face.js';
import type { InputFormat } from './input.js';
import { modelFolderInput } from './model-folder.js';
import { onnxInput } from './onnx.js';
import { pytorchInput } from './pytorch.js';
import { safetensorsInput } from './safetensors.js';
import { tfliteInput } from './tflite.js';

export const inputFormats: readonly InputFormat[] = [huggingFaceInput, modelFolderInput, onnxInput, safetensorsInput, pytorchInput, ggufInput, tfliteInput];
