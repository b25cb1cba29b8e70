/** TensorFlow Lite files, written from the graph. */
import { tfliteLayout } from '@penjing/graph-io';
import type { GraphOutput } from './output-format.js';

export const tfliteOutput: GraphOutput = {
  kind: 'graph',
  name: 'tflite',
  extension: '.tflite',
  accepts: ['to', 'weights', 'images', 'shapes', 'values'],
  // quantized operators go back as they came, not as the arithmetic that they stand for
  prefers: { arithmetic: 'fast' },
  layouts: (model, { name, write, signal }) =>
    tfliteLayout(model, {
      name,
      ...(write.weights && { weights: write.weights }),
      ...(write.images && { images: write.images }),
      ...(write.shapes && { inputShapes: write.shapes }),
      ...(write.values && { inputValues: write.values }),
      ...(signal && { signal }),
    }),
};
