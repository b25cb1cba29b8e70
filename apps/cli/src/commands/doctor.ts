/** `penjing doctor`: can this machine run Penjing, and how well. */
import type { Command } from '../command.js';
import { formatTable } from '../table.js';

export const doctor: Command = {
  name: 'doctor',
  summary: 'check Node, ONNX Runtime, the kernels, memory and disk of this machine',
  arguments: [],
  options: [],
  examples: ['penjing doctor --json'],
  async run({ signal }) {
    const { checkMachine } = await import('@penjing/recipe');
    const report = await checkMachine({ signal });
    const rows = report.checks.map(({ name, ok, value, hint }) => [ok ? 'ok' : 'problem', name, value, ok ? '' : (hint ?? '')]);
    return { json: { ...report }, text: formatTable(['', 'what', 'found', 'what to do'], rows) };
  },
};
