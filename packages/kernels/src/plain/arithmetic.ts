/** Sums and products of float32 arrays: exact in float64, rounded once. */
import { checkOperands } from '../shared/check.js';

export function add(a: Float32Array, b: Float32Array, dst: Float32Array): void {
  checkOperands(a, b, dst);
  const value = b[0]!;
  if (b.length === 1) for (let i = 0; i < dst.length; i++) dst[i] = a[i]! + value;
  else for (let i = 0; i < dst.length; i++) dst[i] = a[i]! + b[i]!;
}

export function multiply(a: Float32Array, b: Float32Array, dst: Float32Array): void {
  checkOperands(a, b, dst);
  const value = b[0]!;
  if (b.length === 1) for (let i = 0; i < dst.length; i++) dst[i] = a[i]! * value;
  else for (let i = 0; i < dst.length; i++) dst[i] = a[i]! * b[i]!;
}
