/** Samples to learn from, and samples to measure on. */
import { DenseTensor } from '@penjing/core';
import { evenlySpread, splitSamples } from '../split-samples.js';
import type { ReadTrainingData } from './training-data.js';

export interface TrainingParts {
  readonly train: ReadTrainingData['columns'];
  /** Undefined where nothing is left out. */
  readonly validation: ReadTrainingData['columns'] | undefined;
  /** Samples to train on. */
  readonly size: number;
}

/** Samples that are measured on: more say the same and take longer. */
const MEASURED = 512;

/** What is measured on are other data, where there are any, or every `leaveOut`th sample; at even distances, where they are many. */
export function splitTrainingData(data: ReadTrainingData, measured: ReadTrainingData | undefined, leaveOut: number): TrainingParts {
  if (measured) return { train: data.columns, size: data.size, validation: rowsOf(measured, evenlySpread(counted(measured.size), MEASURED)) };
  const { used, heldOut } = splitSamples(counted(data.size), leaveOut < 2 ? undefined : leaveOut);
  if (heldOut.length === 0) return { train: data.columns, size: data.size, validation: undefined };
  return { train: rowsOf(data, used), size: used.length, validation: rowsOf(data, evenlySpread(heldOut, MEASURED)) };
}

const counted = (size: number): number[] => Array.from({ length: size }, (_, i) => i);

function rowsOf({ columns }: ReadTrainingData, samples: readonly number[]): ReadTrainingData['columns'] {
  return new Map([...columns].map(([name, column]) => [name, column.shape[0] === 1 ? column : gather(column, samples)]));
}

function gather(column: DenseTensor, samples: readonly number[]): DenseTensor {
  const [rows = 1, ...inner] = column.shape;
  const width = column.byteLength / rows;
  const bytes = new Uint8Array(samples.length * width);
  samples.forEach((sample, i) => bytes.set(column.bytes.subarray(sample * width, (sample + 1) * width), i * width));
  return new DenseTensor(column.dtype, [samples.length, ...inner], bytes);
}
