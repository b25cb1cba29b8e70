/** TensorFlow Lite files, written from the graph. */
import { PenjingError } from '@penjing/core';
import { tfliteLayout } from '@penjing/graph-io';
import { poolMagnitudes } from '@penjing/graph-io/node';
import type { GraphOutput } from './output-format.js';

export const tfliteOutput: GraphOutput = {
  kind: 'graph',
  name: 'tflite',
  extension: '.tflite',
  accepts: ['to', 'weights', 'images', 'shapes', 'values'],
  // quantized operators go back as they came, not as the arithmetic that they stand for
  prefers: { arithmetic: 'fast' },
  layouts: (model, { name, write, signal, pool }) => {
    const { weights } = write;
    if (weights === 'bfloat16') throw new PenjingError('E_OPTION', 'TensorFlow Lite has no weights in bfloat16', { hint: 'Use float32, float16 or int8.' });
    return tfliteLayout(model, {
      name,
      ...(weights && { weights }),
      ...(write.images && { images: write.images }),
      ...(write.shapes && { inputShapes: write.shapes }),
      ...(write.values && { inputValues: write.values }),
      ...(signal && { signal }),
      ...(pool && { magnitudes: poolMagnitudes(pool) }),
    });
  },
};
