/** The version of the file format that belongs to a version of the operators, as the ONNX releases paired them. */
import { PenjingError } from '@penjing/core';

/**
 * By version of ai.onnx; converters build for these. ReduceMean takes its axes as an input, and Split the number of its
 * outputs, from 18 on.
 */
export const irVersions: Readonly<Record<number, number>> = { 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12 };

/** Throws `E_OPTION` for an opset that converters do not build for. */
export function irVersionOf(opset: number): number {
  const version = irVersions[opset];
  if (version !== undefined) return version;
  throw new PenjingError('E_OPTION', `opset ${opset} is not supported`, { hint: `Use one of ${Object.keys(irVersions).join(', ')}.` });
}
