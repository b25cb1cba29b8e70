/** `penjing split`: a model as files for every stage of a pipeline. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { common, integer, numberOf, textOf } from '../options.js';
import { formatTable } from '../table.js';

export const split: Command = {
  name: 'split',
  summary: 'cut a model into the stages of a pipeline, each a file that loads by itself',
  arguments: [{ name: '<model>', help: 'an .onnx file or a model folder' }],
  options: [
    common.output,
    { flags: '--stages <n>', help: 'stages, balanced by the bytes of their weights', parse: integer(1, 1024) },
    { flags: '--micro-batches <m>', help: 'pieces in which a batch passes through them; 4 for each stage when absent', parse: integer(1, 4096) },
    common.force,
    common.threads,
  ],
  examples: ['penjing split model.onnx --stages 2 -o stages', 'penjing run stages --shape x=8,3,224,224'],
  async run({ arguments: [path = ''], options, signal, onProgress }) {
    const { splitModel } = await import('@penjing/recipe');
    const stages = numberOf(options, 'stages');
    if (stages === undefined) throw new PenjingError('E_OPTION', 'into how many stages?', { hint: 'Give --stages N.' });
    const result = await splitModel(path, {
      stages,
      microBatches: numberOf(options, 'microBatches'),
      output: textOf(options, 'output') ?? '',
      force: options['force'] === true,
      threads: numberOf(options, 'threads'),
      signal,
      onProgress,
    });
    return { json: { ...result }, text: formatTable(['stage', 'reads', 'gives'], result.stages.map(({ file, inputs, outputs }) => [file, few(inputs), few(outputs)])) };
  },
};

/** Caches of all layers would fill the screen. */
function few(names: readonly string[]): string {
  return names.length <= 4 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
}
