/** Quantization that stands alone; pairs of it are grids, and the operators between them compute on codes. */
import type { Lowering } from '../lowering.js';

export const quantization = {
  QuantizeLinear: {
    lower(c) {
      throw c.fail('its codes are read by operators that compute on them', 'Put a DequantizeLinear behind it: TFLite computes on codes by itself where it can.');
    },
    note: '8 bits, before a DequantizeLinear or an output',
  },
  DequantizeLinear: {
    lower(c) {
      throw c.fail('it reads codes that were computed, or written on another grid', 'Compute on the numbers, between DequantizeLinear and QuantizeLinear.');
    },
    note: '8 bits, of constants, inputs, and behind a QuantizeLinear',
  },
} satisfies Record<string, Lowering>;
