/** A program that torch.export wrote (`.pt2`). */
import { type ByteSource, isPenjingError } from '@penjing/core';
import { atenOperators, convertPt2, type ExportedProgram, openExportedProgram } from '@penjing/graph-io';
import { conversionFacts, countNames, describeTensors, entriesOf } from './describe.js';
import type { Input } from './input.js';

/** Undefined for files of torch that hold no program: they share the container. */
export async function exportedProgramOf(source: ByteSource): Promise<ExportedProgram | undefined> {
  return openExportedProgram(source).catch((error: unknown) => {
    if (isPenjingError(error) && (error.code === 'E_FORMAT' || error.code === 'E_ZIP')) return undefined;
    throw error;
  });
}

export function exportedProgramInput(path: string, exported: ExportedProgram): Input {
  const { program, weights, constants, layout } = exported;
  const tensors = new Map([...weights, ...constants]);
  return {
    format: 'torch.export program',
    path,
    accepts: ['opset', 'state'],
    graphs: ({ opset, state }) => Promise.resolve(new Map([['model', convertPt2(exported, { ...(opset !== undefined && { opset }), ...(state && { state }) })]])),
    checkpoint: () => Promise.resolve({ tensors, metadata: new Map() }),
    inspect(options) {
      const entries = entriesOf(tensors);
      const converts = new Set(Object.values(atenOperators()).flat());
      const operators = countNames(program.graph.nodes.map(({ target }) => {
        const name = target.replace(/^torch\.ops\./, '');
        return { name, known: () => !name.startsWith('aten.') || converts.has(name.slice('aten.'.length).replace(/\.default$/, '')) };
      }));
      const facts = [{ name: 'layout', value: layout }, { name: 'nodes', value: String(program.graph.nodes.length) }];
      return Promise.resolve({ ...describeTensors('torch.export program', entries, [...facts, ...conversionFacts(entries)], options), operators });
    },
  };
}
