/** ONNX files, with external data when they grow large. */
import { serializeOnnx } from '@penjing/graph-io';
import type { GraphOutput } from './output-format.js';

export const onnxOutput: GraphOutput = {
  kind: 'graph',
  name: 'onnx',
  extension: '.onnx',
  accepts: ['to', 'layout'],
  layouts: (model, { name, externalData }) => Promise.resolve(serializeOnnx(model, { name, externalData })),
};
