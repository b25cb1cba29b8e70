/** Small ONNX models for tests of the server: one that takes every datatype, one that takes as long as it is told to. */
import { writeFile } from 'node:fs/promises';
import { attribute, DenseTensor, type DType, Graph, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';

/** Every datatype of the V2 protocol that ONNX Runtime takes from Node. */
export const echoedTypes = {
  BOOL: 'bool', UINT8: 'uint8', UINT16: 'uint16', UINT32: 'uint32', UINT64: 'uint64', INT8: 'int8', INT16: 'int16', INT32: 'int32', INT64: 'int64', FP16: 'float16', FP32: 'float32', FP64: 'float64', BYTES: 'string',
} as const satisfies Readonly<Record<string, DType>>;

/** An input of each of these datatypes, [batch, 2], given back as `…_out`. */
export function echoModel(datatypes = Object.keys(echoedTypes) as (keyof typeof echoedTypes)[]): Model {
  return build((b) => {
    for (const name of datatypes) {
      const type = tensorType(echoedTypes[name], ['batch', 2]);
      b.output(b.op('Identity', [b.input(name, type)]), `${name}_out`, type);
    }
  });
}

/** y = 2 x; float32, [batch, width]. */
export function doublingModel(width = 2): Model {
  return build((b) => {
    const type = tensorType('float32', ['batch', width]);
    const x = b.input('x', type);
    b.output(b.op('Add', [x, x]), 'y', type);
  });
}

/** The mean of each channel of pictures of 2 × 2: float32, [batch, 3, 2, 2] to [batch, 3, 1, 1]. */
export function pictureModel(): Model {
  return build((b) => b.output(b.op('GlobalAveragePool', [b.input('pixels', tensorType('float32', ['batch', 3, 2, 2]))]), 'means', tensorType('float32', ['batch', 3, 1, 1])));
}

/** Multiplies a matrix of `width` by itself as often as `spins` (int64, one number) says, and gives back how often: `spun`. */
export function spinningModel(width = 192): Model {
  const body = new Graph('body');
  const inner = new GraphBuilder(body);
  const matrix = tensorType('float32', [width, width]);
  inner.input('i', tensorType('int64', []));
  const go = inner.input('go', tensorType('bool', []));
  const before = inner.input('before', matrix);
  inner.output(inner.op('Identity', [go]), 'on', tensorType('bool', []));
  inner.output(inner.op('MatMul', [before, before]), 'after', matrix);
  return build((b) => {
    const spins = b.input('spins', tensorType('int64', [1]));
    const identity = DenseTensor.of('float32', [width, width], Float32Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 1 : 0)));
    const [last] = b.nodes('Loop', [b.op('Squeeze', [spins]), null, b.initializer('identity', identity)], { body: attribute.graph(body) }, { outputCount: 1 }) as [Value];
    const corner = b.op('Gather', [b.op('Reshape', [last, b.constant('int64', [-1])]), b.constant('int64', [0])], { axis: 0 });
    b.output(b.op('Mul', [spins, b.op('Cast', [corner], { to: 7 })]), 'spun', tensorType('int64', [1]));
  });
}

export async function writeModel(path: string, model: Model): Promise<string> {
  await writeFile(path, await layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!));
  return path;
}

function build(fill: (b: GraphBuilder) => void): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  fill(new GraphBuilder(model.graph));
  return model;
}
