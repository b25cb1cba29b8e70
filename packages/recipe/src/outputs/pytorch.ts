/** PyTorch state dicts, which torch.load(weights_only=True) reads; in torch's own int8 tensors when a step quantizes. */
import { PenjingError } from '@penjing/core';
import { pytorchLayout } from '@penjing/graph-io';
import type { WeightsOutput } from './output-format.js';
import { plainWeights } from './plain-weights.js';
import { quantizeStepOf } from './weight-steps.js';

export const pytorchOutput: WeightsOutput = {
  kind: 'weights',
  name: 'pth',
  extension: '.pth',
  accepts: ['to', 'weights', 'like'],
  async layouts(given, { name, steps, write }) {
    const quantize = quantizeStepOf(steps, 'PyTorch');
    if (quantize && (quantize.bits ?? 4) !== 8) {
      throw new PenjingError('E_OPTION', `PyTorch has tensors of 8 bits, not of ${quantize.bits ?? 4}`, { hint: 'Give --bits 8.' });
    }
    // torch's own tensors, or what programs that do not know them can read: integers with scales beside them
    const form = quantize && (quantize.format === 'qdq' ? 'parts' : 'qtensor');
    const { checkpoint, ...rest } = await plainWeights(given, write);
    return { files: pytorchLayout(checkpoint, { name, ...(form && { quantize: form }) }), ...rest, ...(form && { rounding: { method: 'rtn int8 per channel', bits: 8 } }) };
  },
};
