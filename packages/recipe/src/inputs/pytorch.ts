/** A file of torch: a program of torch.export, or what torch.save wrote: weights by name, and a graph where the forward is known. */
import { modelFromPytorch, openPytorch } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { conversionFacts, describeTensors, entriesOf } from './describe.js';
import { exportedProgramInput, exportedProgramOf } from './exported-program.js';
import type { InputFormat } from './input.js';

export const pytorchInput: InputFormat = {
  files: ['pytorch', 'pickle'],
  async open(path) {
    const source = await fileSource(path);
    const program = await exportedProgramOf(source);
    if (program) return exportedProgramInput(path, program);
    return {
      format: 'PyTorch',
      path,
      accepts: ['opset', 'forward', 'inputs', 'key'],
      graphs: async ({ forward, inputs, key, opset, signal }) =>
        new Map([['model', await modelFromPytorch(source, { ...defined({ forward, inputs, key, opset }), ...(signal && { signal }) })]]),
      checkpoint: ({ key } = {}) => openPytorch(source, defined({ key })),
      async inspect(options) {
        const checkpoint = await openPytorch(source);
        const facts = [...checkpoint.metadata].map(([name, value]) => ({ name, value }));
        const weights = entriesOf(checkpoint.tensors);
        return describeTensors('PyTorch', weights, [...facts, ...conversionFacts(weights)], options);
      },
    };
  },
};

/** Without the fields that were not given. */
function defined<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: NonNullable<T[K]> };
}
