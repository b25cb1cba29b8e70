/** Quantization that stands alone; pairs of it are grids, and the operators between them compute on codes. */
import { dtypes } from '@penjing/core';
import { unsupported } from '../tf-error.js';
import type { Lowering } from '../lowering.js';
import { gridOf } from '../qdq.js';

export const quantization = {
  QuantizeLinear: {
    layout: 'any',
    reads: [0],
    lower(c) {
      const { scale, zeroPoint, dtype } = gridOf(c.node);
      if (scale.length !== 1 || dtypes[dtype].bits !== 8) throw unsupported(c.node, `it quantizes to ${dtype} with ${scale.length} scales`, 'Quantize activations to 8 bits with one scale.');
      const x = c.input(0);
      c.set(c.emit('QUANTIZE', [x], { shape: x.shape, dtype, quantization: { scale, zeroPoint, axis: 0 }, options: { type: 'QuantizeOptions', value: {} } }));
    },
    note: '8 bits; pairs with DequantizeLinear are computed on int8',
  },
  DequantizeLinear: {
    layout: 'any',
    reads: [0],
    lower(c) {
      throw c.fail('it reads codes that no QuantizeLinear of the same grid wrote', 'Let the model take float32 inputs, followed by QuantizeLinear and DequantizeLinear.');
    },
    note: 'constants, and activations behind a QuantizeLinear',
  },
} satisfies Record<string, Lowering>;
