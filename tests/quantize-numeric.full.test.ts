/** Every quantization scheme in every form, computed by ONNX Runtime and checked number by number. */
import { describe } from 'vitest';
import { schemes } from './support/quantized-model.js';
import { numericCase } from './support/quantize-numeric-suite.js';

for (const format of ['qoperator', 'qdq'] as const) {
  for (const dtype of ['float32', 'float16'] as const) {
    describe(`${format}, ${dtype}`, () => {
      schemes.forEach((scheme, i) => {
        const { bits, blockSize, symmetric } = scheme;
        numericCase(`${bits} bits, block ${blockSize}, ${symmetric ? 'symmetric' : 'asymmetric'}`, { ...scheme, format, dtype, condition: i % 2 === 0 });
      });
    });
  }
}
