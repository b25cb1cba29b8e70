/** `penjing compare`: what a smaller model lost against the original. */
import type { Command } from '../command.js';
import { common, deviceOf, numberOf, textOf } from '../options.js';
import { formatBytes } from '../progress.js';
import { calibrationWords, stepOptions } from '../step-options.js';
import { formatTable } from '../table.js';
import { readTextOptions, textOptions } from '../text-options.js';

const { data: _data, samples: _samples, ...words } = calibrationWords;
const reading = stepOptions('quantize', words);

export const compare: Command = {
  name: 'compare',
  summary: 'compare two models: size, outputs, and for language models how well they predict',
  arguments: [
    { name: '<reference>', help: 'the original: a model folder, an .onnx file, or a checkpoint that converts to one graph' },
    { name: '<model>', help: 'the model to judge; the same folder with --variant is fine' },
  ],
  options: [
    { flags: '--variant <name>', help: 'variant of the model to judge: fp32, fp16, q8, q4, …' },
    { flags: '--reference-variant <name>', help: 'variant of the reference' },
    common.data,
    ...textOptions,
    common.samples,
    ...reading.specs,
    common.report,
    common.seed,
    common.device,
    common.threads,
  ],
  examples: [
    'penjing compare out/sapling out/sapling-q4 --data models/sapling/heldout.txt --report report.html',
    'penjing compare out/sapling out/sapling --variant q4 --json',
  ],
  async run({ arguments: [reference = '', model = ''], options, signal, onProgress, seed, note }) {
    const { compareInputs } = await import('@penjing/recipe');
    const report = textOf(options, 'report');
    const result = await compareInputs({
      reference: { path: reference, variant: textOf(options, 'referenceVariant') },
      model: { path: model, variant: textOf(options, 'variant') },
      data: textOf(options, 'data'),
      ...readTextOptions(options),
      samples: numberOf(options, 'samples'),
      ...reading.read(options),
      threads: numberOf(options, 'threads'),
      device: deviceOf(options),
      report,
      signal,
      onProgress,
      seed,
    });
    if (report !== undefined) note(`wrote ${report}`);
    const { a, b } = result;
    const number = (value: number | undefined, digits = 4): string => (value === undefined ? '—' : value.toPrecision(digits));
    const rows = [['size', formatBytes(a.bytes), formatBytes(b.bytes)]];
    if (a.perplexity !== undefined) rows.push(['perplexity', number(a.perplexity), number(b.perplexity)]);
    if (a.accuracy !== undefined && b.accuracy !== undefined) rows.push(['accuracy', `${(a.accuracy * 100).toFixed(2)} %`, `${(b.accuracy * 100).toFixed(2)} %`]);
    if (a.f1 !== undefined && b.f1 !== undefined) rows.push(['f1', number(a.f1), number(b.f1)]);
    if (result.embeddingCosine !== undefined) rows.push(['embeddingCosine', '', number(result.embeddingCosine, 6)]);
    if (result.klDivergence !== undefined) rows.push(['klDivergence (nats per token)', '', number(result.klDivergence)]);
    if (result.topTokenAgreement !== undefined) rows.push(['topTokenAgreement', '', `${(result.topTokenAgreement * 100).toFixed(2)} %`]);
    rows.push(['snrDb', '', number(result.snrDb, 3)], ['maxError', '', number(result.maxError, 3)]);
    return { json: { ...result }, text: `${formatTable(['', 'reference', 'model'], rows)}\n${result.count} ${result.kind === 'language' ? 'tokens' : 'samples'}, ${result.data}` };
  },
};
