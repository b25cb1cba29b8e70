/** A sample of the quantization schemes, computed by ONNX Runtime and checked number by number; all of them in the full suite. */
import { describe } from 'vitest';
import { numericCase, type NumericCase } from './support/quantize-numeric-suite.js';

const sample: readonly NumericCase[] = [
  { bits: 4, blockSize: 32, symmetric: true, format: 'qoperator', dtype: 'float32', condition: true },
  { bits: 4, blockSize: 128, symmetric: false, format: 'qoperator', dtype: 'float16', condition: false },
  { bits: 2, blockSize: 64, symmetric: false, format: 'qoperator', dtype: 'float32', condition: false },
  { bits: 8, blockSize: 256, symmetric: true, format: 'qoperator', dtype: 'float32', condition: true },
  { bits: 8, blockSize: 16, symmetric: false, format: 'qoperator', dtype: 'float32', condition: false },
  { bits: 4, blockSize: 256, symmetric: false, format: 'qdq', dtype: 'float32', condition: true },
  { bits: 2, blockSize: 16, symmetric: true, format: 'qdq', dtype: 'float32', condition: false },
  { bits: 8, blockSize: 64, symmetric: true, format: 'qdq', dtype: 'float16', condition: true },
];

describe('quantized weights give the product with the dequantized ones', () => {
  for (const each of sample) {
    numericCase(`${each.bits} bits, block ${each.blockSize}, ${each.symmetric ? 'symmetric' : 'asymmetric'}, ${each.format}, ${each.dtype}`, each);
  }
});
