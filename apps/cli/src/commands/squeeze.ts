/** `penjing squeeze`: the smallest model that is good enough, or the best of a size. */
import { PenjingError } from '@penjing/core';
import type { SqueezeOptions, SqueezeResult } from '@penjing/recipe';
import { InvalidArgumentError } from 'commander';
import type { Command } from '../command.js';
import { common, decimal, numberOf, textOf, underHeading } from '../options.js';
import { formatBytes } from '../progress.js';
import { saveOptions } from '../run-steps.js';
import { calibrationWords, stepOptions } from '../step-options.js';
import { formatFacts, formatTable } from '../table.js';

// Data is read as a calibrated step reads it, since one of those comes out.
const reading = stepOptions('quantize', { ...calibrationWords, data: { ...calibrationWords.data, required: true } });

export const squeeze: Command = {
  name: 'squeeze',
  summary: 'choose bits, blocks and methods weight by weight for a size or a loss, and prove the result on held-out data',
  arguments: [{ name: '<input>', help: 'a checkpoint or an .onnx file that becomes one graph' }],
  options: [
    { ...common.output, required: false },
    ...reading.specs,
    ...underHeading('Goal', [
      { flags: '--target-size <size>', help: 'how large the result may be: a share of the float model (25%), or bytes (900kB, 40MB)', parse: targetSize },
      { flags: '--target-sparsity <share>', help: 'instead: how many of the weights of matrices shall become zero (50%), shared out over the layers', parse: share },
      { flags: '--max-loss <percent>', help: 'what may be lost on the held-out samples: 1% more perplexity, 1 point of accuracy, or 1% error of the outputs', parse: percent },
      { flags: '--methods <names>', help: 'what may be chosen from: int, palette (files only: expanded when loaded); or zeros: sparse, 2:4 (int when absent)', parse: methods },
      { flags: '--dry-run', help: 'measure and plan, write no model' },
    ]),
    common.seed,
    ...saveOptions.filter(({ flags }) => !flags.startsWith('--resume')),
    common.threads,
  ],
  examples: [
    'penjing squeeze models/sapling -o out/sapling-small --data train.txt --target-size 25% --report squeeze.html',
    'penjing squeeze models/sapling -o out/sapling-1 --data train.txt --max-loss 1%',
    'penjing squeeze model.onnx --data samples.npz --max-loss 1% --dry-run',
  ],
  async run({ arguments: [input = ''], options, signal, onProgress, seed, note }) {
    const output = textOf(options, 'output');
    if (output === undefined && options['dryRun'] !== true) throw new PenjingError('E_OPTION', 'there is no output', { hint: 'Give -o OUT, or --dry-run to plan only.' });
    const { squeezeInput } = await import('@penjing/recipe');
    const report = textOf(options, 'report');
    const result = await squeezeInput({
      input,
      output: options['dryRun'] === true ? undefined : output,
      data: '',
      ...reading.read(options),
      targetSize: options['targetSize'] as { share: number } | { bytes: number } | undefined,
      targetSparsity: numberOf(options, 'targetSparsity'),
      methods: options['methods'] as readonly SqueezeMethod[] | undefined,
      maxLoss: numberOf(options, 'maxLoss'),
      force: options['force'] === true,
      check: options['check'] !== false,
      externalData: textOf(options, 'externalData') as 'auto' | undefined,
      threads: numberOf(options, 'threads'),
      report,
      signal,
      onProgress,
      seed,
      onNote: note,
    });
    if (report !== undefined) note(`wrote ${report}`);
    return { json: { ...result }, text: describe(result) };
  },
};

/** `25%` or `0.25` of the float model; `900kB`, `40MB`, `2GB` and plain bytes from 2 on. */
function targetSize(text: string): { share: number } | { bytes: number } {
  const match = /^(\d+(?:\.\d+)?)\s*(%|B|kB|MB|GB|KiB|MiB|GiB)?$/i.exec(text.trim());
  const value = Number(match?.[1]);
  const unit = match?.[2]?.toLowerCase() ?? '';
  const factor = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 }[unit];
  if (match && value > 0) {
    if (unit === '%' && value <= 100) return { share: value / 100 };
    if (unit === '' && value <= 1) return { share: value };
    if (factor !== undefined && value * factor > 1) return { bytes: Math.floor(value * factor) };
  }
  throw new InvalidArgumentError('a share of the float model as 25%, or a size as 40MB is needed.');
}

/** `1%` is 0.01; so is `0.01`. */
function percent(text: string): number {
  const isPercent = text.trim().endsWith('%');
  return decimal(0, isPercent ? 100 : 1)(text.trim().replace(/%$/, '')) / (isPercent ? 100 : 1);
}

function share(text: string): number {
  const value = percent(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError('more than 0 % and less than 100 % is needed.');
}

type SqueezeMethod = NonNullable<SqueezeOptions['methods']>[number];
// as `squeezeMethods` of the recipe package, which is loaded when it is needed only; a test compares
const methodNames = ['sparse', '2:4', 'int', 'palette'] as const satisfies readonly SqueezeMethod[];

function methods(text: string): SqueezeMethod[] {
  return text.split(',').map((part) => {
    const found = methodNames.find((name) => name === part.trim());
    if (!found) throw new InvalidArgumentError(`${methodNames.join(', ')} can be chosen.`);
    return found;
  });
}

function describe(result: SqueezeResult): string {
  const share = (value: number, digits = 2): string => (Number.isFinite(value) ? `${(value * 100).toFixed(digits)} %` : '∞');
  const digits = (value: number | undefined): string => (value === undefined ? '—' : value.toPrecision(4));
  const { heldOut, bytesBefore, bytesAfter, tried, chosen, metric } = result;
  const language = heldOut.kind === 'language';
  const size = result.counts === 'size' ? 'size' : 'without zeros';
  const rows = [...tried].sort((a, b) => a.bytes - b.bytes).map(({ name, bytes, predicted, loss, comparison }) => [
    name, formatBytes(bytes), share(bytes / bytesBefore, 1), digits(predicted), language ? digits(comparison.klDivergence) : digits(10 ** (-comparison.snrDb / 10)), share(loss),
  ]);
  const facts: [string, string][] = [
    [size, `${formatBytes(bytesBefore)} to ${formatBytes(bytesAfter)} (${share(bytesAfter / bytesBefore, 1)})`],
    [`loss of ${metric}, held out`, `${share(result.loss)}${result.maxLoss === undefined ? '' : ` of ${share(result.maxLoss)} allowed`}: ${result.passed ? 'passes' : 'does not pass'}`],
    ...(heldOut.a.perplexity === undefined ? [] : [['perplexity', `${digits(heldOut.a.perplexity)} to ${digits(heldOut.b.perplexity)}`] as [string, string]]),
    ...(heldOut.a.accuracy === undefined ? [] : [['accuracy', `${share(heldOut.a.accuracy)} to ${share(heldOut.b.accuracy ?? 0)}`] as [string, string]]),
    ...(heldOut.klDivergence === undefined ? [] : [['klDivergence', digits(heldOut.klDivergence)] as [string, string]]),
    ['snrDb', digits(heldOut.snrDb)],
    ['held out', `${heldOut.count} ${language ? 'tokens' : 'samples'}`],
  ];
  const kinds = new Map<string, number>();
  for (const { method } of chosen) kinds.set(method, (kinds.get(method) ?? 0) + 1);
  return [
    formatTable(['model', size, 'of float', 'predicted', language ? 'klDivergence' : 'error', `loss of ${metric}`], rows),
    '',
    ...(result.standard === undefined ? [] : [`all weights alike: ${result.standard}`]),
    ...(result.synthetic ? ['measured on random numbers: use it to try things out only'] : []),
    formatTable(['weights', 'method'], [...kinds].sort((a, b) => b[1] - a[1]).map(([method, count]) => [String(count), method])),
    ...result.fallbacks.map(({ loss, weights }) => `the held-out samples refused ${share(loss)}; made better: ${weights.join(', ')}`),
    '',
    formatFacts(facts),
    ...(result.written ? [`${result.written.output}: ${result.written.files.length} files, ${formatBytes(result.written.bytes)} in ${result.seconds.toFixed(0)} s`] : ['nothing was written']),
  ].join('\n');
}
