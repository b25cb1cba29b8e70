/** `penjing split`: a model as files for every stage of a pipeline, every branch, or every shard. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { common, integer, numberOf, textOf } from '../options.js';
import { formatBytes } from '../progress.js';
import { formatTable } from '../table.js';

const expertWays = ['sliced', 'whole', 'only'] as const;

export const split: Command = {
  name: 'split',
  summary: 'cut a model into the stages of a pipeline, into branches or into shards, as files that load by themselves',
  arguments: [{ name: '<model>', help: 'an .onnx file or a model folder' }],
  options: [
    common.output,
    { flags: '--stages <n>', help: 'stages, balanced by the bytes of their weights', parse: integer(1, 1024) },
    { flags: '--tasks <n>', help: 'branches of the graph that may run at the same time, where there are such', parse: integer(2, 64) },
    { flags: '--tensor <n>', help: 'shards, each with a part of every large matrix', parse: integer(2, 64) },
    { flags: '--experts <how>', help: 'with --tensor: a part of every expert of a mixture for each shard (sliced), some experts whole, or only that: nothing but experts is shared out', choices: expertWays },
    { flags: '--micro-batches <m>', help: 'pieces in which a batch passes through them; 4 for each stage when absent', parse: integer(1, 4096) },
    common.force,
    common.threads,
  ],
  examples: ['penjing split model.onnx --tensor 2 -o shards', 'penjing split model.onnx --stages 2 -o stages', 'penjing split two-towers.onnx --tasks 2 -o branches', 'penjing run stages --shape x=8,3,224,224'],
  async run({ arguments: [path = ''], options, signal, onProgress }) {
    const { splitIntoBranches, splitIntoShards, splitModel } = await import('@penjing/recipe');
    const [stages, tasks, shards, microBatches] = ['stages', 'tasks', 'tensor', 'microBatches'].map((name) => numberOf(options, name));
    const experts = expertWays.find((way) => way === options['experts']);
    if ([stages, tasks, shards].filter((count) => count !== undefined).length !== 1) throw new PenjingError('E_OPTION', 'into stages, branches or shards, and how many?', { hint: 'Give one of --stages N, --tasks N and --tensor N.' });
    if (stages === undefined && microBatches !== undefined) throw new PenjingError('E_OPTION', '--micro-batches is for --stages');
    if (shards === undefined && experts !== undefined) throw new PenjingError('E_OPTION', '--experts is for --tensor');
    const to = { output: textOf(options, 'output') ?? '', force: options['force'] === true, threads: numberOf(options, 'threads'), signal, onProgress };
    if (shards !== undefined) {
      const result = await splitIntoShards(path, { shards, ...(experts && { experts }), ...to });
      const sums = result.program.filter(({ kind }) => kind === 'reduce').length;
      const largest = Math.max(...result.files.map((own) => own.reduce((sum, file) => sum + result.sizes[file]!, 0)));
      return { json: { ...result }, text: `${shards} shards of ${result.files[0]!.length} segments and at most ${formatBytes(largest)} each, with ${sums} sums and ${result.program.filter(({ kind }) => kind === 'gather').length} gathers between them` };
    }
    if (tasks !== undefined) {
      const result = await splitIntoBranches(path, { tasks, ...to });
      return { json: { ...result }, text: tableOf('part', result.parts, result.sizes) };
    }
    const result = await splitModel(path, { stages: stages!, microBatches, ...to });
    return { json: { ...result }, text: tableOf('stage', result.stages, result.sizes) };
  },
};

function tableOf(kind: string, files: readonly { readonly file: string; readonly inputs: readonly string[]; readonly outputs: readonly string[] }[], sizes: Readonly<Record<string, number>>): string {
  return formatTable([kind, 'size', 'reads', 'gives'], files.map(({ file, inputs, outputs }) => [file, formatBytes(sizes[file]!), few(inputs), few(outputs)]));
}

/** Caches of all layers would fill the screen. */
function few(names: readonly string[]): string {
  return names.length <= 4 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
}
