/** From logits to scores, and the names of classes. */
import { type DenseTensor, PenjingError, type StringTensor } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';
import type { JsonObject } from './task-model.js';

export interface LabelScore {
  readonly label: string;
  readonly score: number;
}

export type Activation = 'softmax' | 'sigmoid' | 'none';
export const activations: readonly Activation[] = ['softmax', 'sigmoid', 'none'];

/** In double precision, of one row. */
export function activate(logits: ArrayLike<number>, activation: Activation): Float64Array {
  const values = Float64Array.from(logits);
  if (activation === 'sigmoid') return values.map((value) => 1 / (1 + Math.exp(-value)));
  if (activation === 'none') return values;
  let top = -Infinity;
  for (const value of values) top = Math.max(top, value);
  const powers = values.map((value) => Math.exp(value - top));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** What transformers applies to logits of classes: by `problem_type`, and else by their number. */
export function activationOf({ problem_type: problem }: JsonObject, labels: number): Activation {
  if (problem === 'regression') return 'none';
  return problem === 'multi_label_classification' || labels === 1 ? 'sigmoid' : 'softmax';
}

/** `id2label`, with the names that transformers gives to classes without one. */
export function labelNames(config: JsonObject, count: number): readonly string[] {
  const given = config['id2label'];
  const named = typeof given === 'object' && given !== null ? (given as JsonObject) : {};
  return Array.from({ length: count }, (_, i) => {
    const name = Object.hasOwn(named, String(i)) ? named[String(i)] : undefined;
    return typeof name === 'string' ? name : `LABEL_${i}`;
  });
}

/** The `count` best, the best first. */
export function ranked(scores: ArrayLike<number>, labels: readonly string[], count: number): LabelScore[] {
  const order = Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
  return order.slice(0, count).map((i) => ({ label: labels[i]!, score: scores[i]! }));
}

/** Rows (batch, …, width) as float32. Throws `E_LAYOUT` for what holds no floats. */
export function rowsOf(tensor: DenseTensor | StringTensor | undefined, name: string): { readonly values: Float32Array; readonly width: number; readonly shape: readonly number[] } {
  if (tensor?.kind !== 'dense' || (tensor.dtype !== 'float32' && tensor.dtype !== 'float16')) {
    throw new PenjingError('E_LAYOUT', `${name} is ${tensor?.dtype ?? 'not there'}; float32 or float16 is expected`);
  }
  const { shape } = tensor;
  const width = shape.at(-1) ?? 1;
  if (tensor.dtype === 'float32') return { values: tensor.data as Float32Array, width, shape };
  const values = new Float32Array(tensor.data.length);
  plainKernels().toFloat32('float16', tensor.data, values);
  return { values, width, shape };
}
