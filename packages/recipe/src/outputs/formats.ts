/** Every format that can be written. A new one is a file here and a line. */
import { PenjingError } from '@penjing/core';
import type { WriteStep } from '../steps/convert.js';
import { ggufOutput } from './gguf.js';
import { onnxOutput } from './onnx.js';
import type { OutputFormat } from './output-format.js';
import { pytorchOutput } from './pytorch.js';
import { safetensorsOutput } from './safetensors.js';
import { tfliteOutput } from './tflite.js';

export const outputFormats: readonly OutputFormat[] = [onnxOutput, tfliteOutput, ggufOutput, pytorchOutput, safetensorsOutput];

/** By `to`, else by the extension of the output; ONNX otherwise. Throws `E_OPTION` when the two disagree. */
export function outputFormat({ to }: WriteStep, output: string): OutputFormat {
  const named = outputFormats.find(({ extension }) => output.endsWith(extension));
  const wanted = to === undefined ? (named ?? onnxOutput) : outputFormats.find(({ name }) => name === to);
  if (!wanted) throw new PenjingError('E_OPTION', `${String(to)} cannot be written`, { hint: `Formats: ${outputFormats.map(({ name }) => name).join(', ')}.` });
  if (named && named !== wanted) {
    throw new PenjingError('E_OPTION', `${output} ends in ${named.extension}, but the result is to be ${wanted.name}`, { hint: `For example -o ${output.slice(0, -named.extension.length)}${wanted.extension}` });
  }
  return wanted;
}
