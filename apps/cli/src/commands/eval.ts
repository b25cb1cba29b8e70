/** `penjing eval`: how good a model is on data. */
import type { Command } from '../command.js';
import { common, deviceOf, filled, kvCacheOf, numberOf, refuseOptions, textOf } from '../options.js';
import { formatBytes } from '../progress.js';
import { calibrationWords, stepOptions } from '../step-options.js';
import { formatFacts } from '../table.js';
import { readTextOptions, textOptions } from '../text-options.js';

const { data: _data, samples: _samples, ...words } = calibrationWords;
const reading = stepOptions('quantize', words);

export const evaluate: Command = {
  name: 'eval',
  summary: 'measure a model on data: perplexity, accuracy, and what it lost against a reference',
  arguments: [{ name: '<input>', help: 'a model folder, an .onnx file, or a checkpoint that converts to one graph' }],
  options: [
    { ...common.data, required: true },
    { flags: '--reference <path>', help: 'a model to measure against: klDivergence, topTokenAgreement, snrDb and maxError too', parse: filled },
    { flags: '--variant <name>', help: 'variant of the model: fp32, fp16, q8, q4, …' },
    { flags: '--reference-variant <name>', help: 'variant of the reference' },
    ...textOptions,
    common.samples,
    ...reading.specs,
    common.kvCache,
    common.report,
    common.device,
    common.threads,
  ],
  examples: [
    'penjing eval models/sapling --data models/sapling/heldout.txt',
    'penjing eval out/sapling-q4 --reference models/sapling --data models/sapling/heldout.txt --json',
  ],
  async run({ arguments: [input = ''], options, signal, onProgress, note }) {
    if (textOf(options, 'reference') !== undefined) refuseOptions(options, ['kvCache'], 'with --reference');
    const { evaluateInput } = await import('@penjing/recipe');
    const [reference, report] = [textOf(options, 'reference'), textOf(options, 'report')];
    const result = await evaluateInput({
      model: { path: input, variant: textOf(options, 'variant') },
      ...(reference !== undefined && { reference: { path: reference, variant: textOf(options, 'referenceVariant') } }),
      data: textOf(options, 'data') ?? '',
      ...readTextOptions(options),
      samples: numberOf(options, 'samples'),
      ...reading.read(options),
      threads: numberOf(options, 'threads'),
      device: deviceOf(options),
      ...kvCacheOf(options),
      report,
      signal,
      onProgress,
    });
    if (report !== undefined) note(`wrote ${report}`);
    const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
    const facts: [string, string][] = [['size', formatBytes(result.model.bytes)]];
    const add = (name: string, value: number | undefined, show: (value: number) => string, of?: number): void => {
      if (value !== undefined) facts.push([name, of === undefined ? show(value) : `${show(value)} (reference ${show(of)})`]);
    };
    const digits = (value: number): string => value.toPrecision(5);
    add('perplexity', result.perplexity, digits, result.reference?.perplexity);
    add('accuracy', result.accuracy, percent, result.reference?.accuracy);
    add('f1', result.f1, digits, result.reference?.f1);
    add('klDivergence', result.klDivergence, digits);
    add('topTokenAgreement', result.topTokenAgreement, percent);
    add('topClassAgreement', result.topClassAgreement, percent);
    add('embeddingCosine', result.embeddingCosine, digits);
    add('snrDb', result.snrDb, digits);
    add('maxError', result.maxError, digits);
    facts.push(['measured on', `${result.count} (${result.data})`]);
    if (result.blocks !== undefined) facts.push(['run', `layer by layer, in ${result.blocks} blocks`]);
    return { json: { ...result }, text: formatFacts(facts) };
  },
};
