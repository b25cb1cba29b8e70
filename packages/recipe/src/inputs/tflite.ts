/** A TensorFlow Lite file. */
import { isTfliteOperatorRead, openTflite, readTflite } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { countNames, describeTensors } from './describe.js';
import type { InputFormat } from './input.js';
import { checkpointOf } from './onnx.js';

export const tfliteInput: InputFormat = {
  files: ['tflite'],
  async open(path) {
    const source = await fileSource(path);
    return {
      format: 'TensorFlow Lite',
      path,
      accepts: ['opset', 'arithmetic', 'signature'],
      graphs: async ({ opset, arithmetic, signature }) => new Map([['model', await readTflite(source, { opset, arithmetic, signature })]]),
      checkpoint: async () => checkpointOf([await readTflite(source)]),
      async inspect(options) {
        const { subgraphs, signatures, description } = await openTflite(source);
        const [main] = subgraphs;
        const port = (index: number): string => {
          const { name, dtype, shape, shapeSignature = shape } = main!.tensors[index]!;
          return `${name} ${dtype} [${shapeSignature.join(', ')}]`;
        };
        const facts = [
          { name: 'description', value: description || '—' },
          { name: 'subgraphs', value: String(subgraphs.length) },
          ...(signatures.length > 0 ? [{ name: 'signatures', value: signatures.map(({ key }) => key).join(', ') }] : []),
          { name: 'inputs', value: main?.inputs.map(port).join(', ') ?? '—' },
          { name: 'outputs', value: main?.outputs.map(port).join(', ') ?? '—' },
        ];
        const weights = subgraphs.flatMap(({ tensors }) => tensors.filter(({ data }) => data !== undefined).map((tensor) => ({ name: tensor.name, tensor: { ...tensor, byteLength: tensor.data!.length } })));
        const operators = countNames(subgraphs.flatMap((subgraph) => subgraph.operators.map((operator) => ({ name: operator.custom ?? operator.type, known: () => isTfliteOperatorRead(operator) }))));
        return { ...describeTensors('TensorFlow Lite', weights, facts, options), operators };
      },
    };
  },
};
