/** File names of graphs: a stem that says which part of the model it is, and a suffix that says how it is stored. */
import { basename } from 'node:path';
import { transformersJsModels } from '@penjing/graph-io';

/** `_q4`, `_fp16`, …: what transformers.js appends to a stem; bfloat16 storage is ours. */
const suffixes: readonly string[] = [...Object.values(transformersJsModels).map((name) => basename(name, '.onnx').slice('model'.length)), '_bf16'];

export interface GraphName {
  /** `model`, `encoder_model`, … */
  readonly stem: string;
  /** Empty for full precision. */
  readonly suffix: string;
}

/** `decoder_model_merged_q4.onnx` to its stem and its suffix. */
export function splitGraphName(file: string): GraphName {
  const name = basename(file, '.onnx');
  const suffix = suffixes.filter((known) => known !== '' && name.endsWith(known)).sort((a, b) => b.length - a.length)[0] ?? '';
  return { stem: name.slice(0, name.length - suffix.length), suffix };
}
