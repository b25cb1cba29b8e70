/** `penjing inspect`: what is in a file or folder, without loading its weights. */
import type { Command } from '../command.js';
import { formatBytes } from '../progress.js';
import { formatFacts, formatTable } from '../table.js';

export const inspect: Command = {
  name: 'inspect',
  summary: 'show format, architecture, parameters, types and operators of a model',
  arguments: [{ name: '<input>', help: 'a model file or folder' }],
  options: [{ flags: '--tensors', help: 'list every tensor' }, { flags: '--graph', help: 'print the whole graph' }],
  examples: ['penjing inspect models/sapling', 'penjing inspect model.onnx --tensors'],
  async run({ arguments: [input = ''], options, signal }) {
    const { inspectInput } = await import('@penjing/recipe');
    const report = await inspectInput(input, { tensors: options['tensors'] === true, graph: options['graph'] === true, signal });
    const lines = [formatFacts(report.facts.map(({ name, value }) => [name, value]))];
    if (report.dtypes.length > 0) {
      const rows = report.dtypes.map(({ dtype, tensors, elements, bytes }) => [dtype, String(tensors), String(elements), formatBytes(bytes)]);
      lines.push('', formatTable(['weights', 'tensors', 'elements', 'size'], rows));
    }
    if (report.operators.length > 0) {
      const rows = report.operators.map(({ name, count, known }) => [name, String(count), known ? '' : 'carried as it is']);
      lines.push('', formatTable(['operator', 'nodes', ''], rows));
    }
    if (report.tensors) {
      const rows = report.tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, `[${shape.join(', ')}]`, formatBytes(bytes)]);
      lines.push('', formatTable(['tensor', 'type', 'shape', 'size'], rows));
    }
    if (report.graph !== undefined) lines.push('', report.graph);
    return { json: { ...report }, text: lines.join('\n') };
  },
};
