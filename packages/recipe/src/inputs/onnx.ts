/** One `.onnx` file. */
import { dirname } from 'node:path';
import { type Checkpoint, type Model, storedTensors, type Tensor } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource, openExternalFile } from '@penjing/graph-io/node';
import { describeModel } from './describe.js';
import type { InputFormat } from './input.js';

export const onnxInput: InputFormat = {
  files: ['onnx'],
  open: (path) =>
    Promise.resolve({
      format: 'ONNX',
      path,
      accepts: [],
      graphs: async ({ signal }) => new Map([['model', await openOnnx(path, signal)]]),
      checkpoint: async ({ signal } = {}) => checkpointOf([await openOnnx(path, signal)]),
      inspect: async (options) => describeModel('ONNX', await openOnnx(path, options.signal), [], options),
    }),
};

/** Reads an ONNX file, with external data from its own folder only. */
export async function openOnnx(path: string, signal?: AbortSignal): Promise<Model> {
  const folder = dirname(path);
  return readOnnx(await fileSource(path), { externalSource: (location) => openExternalFile(folder, location), ...(signal ? { signal } : {}) });
}

/** The weights of graphs by name; what two graphs share is the same tensor twice. */
export function checkpointOf(models: Iterable<Model>): Checkpoint {
  const tensors = new Map<string, Tensor>();
  for (const model of models) for (const { name, tensor } of storedTensors(model)) tensors.set(name, tensor);
  return { tensors, metadata: new Map() };
}
