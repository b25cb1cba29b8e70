/** Grids of 8 bits: which tensors have one, and what a fused activation leaves of it. */
import type { DType } from '@penjing/core';
import { activation } from '../../schema.js';
import type { TfliteReading } from '../operator.js';
import type { TfliteValues } from '../values.js';

export interface Grid {
  /** As float32 has it. */
  readonly scale: number;
  readonly zeroPoint: number;
  /** Codes less the zero point. */
  readonly low: number;
  readonly high: number;
}

const bounds: Readonly<Partial<Record<DType, readonly [number, number]>>> = { int8: [-128, 127], uint8: [0, 255] };

/** Undefined for a tensor that has not one scale and 8 bits. */
export function gridOf(values: TfliteValues, index: number): Grid | undefined {
  const range = bounds[values.tensor(index).dtype];
  const scales = values.scales(index);
  if (!range || scales?.scales.length !== 1) return undefined;
  const zeroPoint = scales.zeroPoints[0]!;
  return { scale: scales.scales[0]!, zeroPoint, low: range[0] - zeroPoint, high: range[1] - zeroPoint };
}

/** Codes (less the zero point) that are left of a grid after an activation; undefined for one that is no clipping. */
export function activated({ scale, low, high }: Grid, code = 0): readonly [number, number] | undefined {
  const quantized = (value: number): number => roundAway(Math.fround(Math.fround(value) / scale));
  const rows: Readonly<Record<number, readonly [number, number]>> = {
    [activation.NONE]: [low, high],
    [activation.RELU]: [Math.max(low, 0), high],
    [activation.RELU6]: [Math.max(low, 0), Math.min(high, quantized(6))],
    [activation.RELU_N1_TO_1]: [Math.max(low, quantized(-1)), Math.min(high, quantized(1))],
  };
  return rows[code];
}

export function roundAway(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

export function sameGrid(a: Grid, b: Grid): boolean {
  return a.scale === b.scale && a.zeroPoint === b.zeroPoint && a.low === b.low;
}

/** An exact row: false when this form of the operator is left to floats. */
export type ExactRow = (reading: TfliteReading) => boolean;
