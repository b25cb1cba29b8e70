/** The models of the cases in parallel-cases.json. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { openGraph } from '@penjing/recipe';
import { makeCheckpoint } from './make-checkpoint.js';

export const parallelModels: Readonly<Record<string, (data: string) => Promise<Model>>> = {
  sapling: () => openGraph('models/sapling'),
  llama: () => openGraph(llamaFolder()),
  perceptron: async () => perceptron(1, 6, 2048),
  towers: async () => perceptron(2, 4, 1024),
  resnet20: (data) => openGraph(join(data, 'models/resnet20-cifar10/resnet20.pt2')),
  'super-resolution': (data) => openGraph(join(data, 'models/super-resolution/pytorch_super_resolution.onnx')),
  'mobilenet-v2': (data) => openGraph(join(data, 'models/mobilenet-v2/mobilenet_v2_quantized_1x3x224x224.tflite')),
};

let folder: string | undefined;

function llamaFolder(): string {
  if (folder === undefined) throw new Error('prepareModels first');
  return folder;
}

/** Writes the Llama of 0.1 billion seeded weights; disposing deletes it. */
export async function prepareModels(): Promise<AsyncDisposable> {
  folder = await mkdtemp(join(tmpdir(), 'penjing-bench-'));
  await makeCheckpoint(folder, '0.2');
  return { [Symbol.asyncDispose]: () => rm(folder!, { recursive: true, force: true }) };
}

/** `towers` chains of `layers` square products side by side on one input, added at the end. x: (batch, width). */
function perceptron(towers: number, layers: number, width: number): Model {
  const model = new Model();
  model.irVersion = 9;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['batch', width]));
  const ends = Array.from({ length: towers }, (_, tower) => {
    let h: Value = x;
    for (let i = 0; i < layers; i++) {
      const values = Float32Array.from({ length: width * width }, (_, at) => Math.sin(at % 8191) / Math.sqrt(width));
      h = b.op('Relu', [b.op('MatMul', [h, b.initializer(`w${tower}.${i}`, DenseTensor.of('float32', [width, width], values))])]);
    }
    return h;
  });
  b.output(ends.reduce((sum, end) => b.op('Add', [sum, end])), 'y', tensorType('float32', ['batch', width]));
  return model;
}
