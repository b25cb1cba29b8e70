/** Sums and products over arrays in the memory; arrays from outside are left to the plain twin, which costs less than to move them. */
import type { Kernels } from '../kernels.js';
import * as plain from '../plain/arithmetic.js';
import { checkOperands } from '../shared/check.js';
import type { Instance } from './instance.js';

type Arithmetic = Pick<Kernels, 'add' | 'multiply'>;

export function arithmeticKernels(instance: Instance): Arithmetic {
  const { exports } = instance;
  const kernel = (op: keyof Arithmetic): Arithmetic['add'] => (a, b, dst) => {
    checkOperands(a, b, dst);
    const scalar = b.length === 1;
    if (!instance.holds(a) || !instance.holds(dst) || !(scalar || instance.holds(b))) plain[op](a, b, dst);
    else if (scalar) exports[`${op}Scalar`](a.byteOffset, b[0]!, dst.byteOffset, dst.length);
    else exports[`${op}Floats`](a.byteOffset, b.byteOffset, dst.byteOffset, dst.length);
  };
  return { add: kernel('add'), multiply: kernel('multiply') };
}
