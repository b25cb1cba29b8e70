/** `penjing bench`: how fast a model is on this machine, alone or against another. */
import type { BenchOptions, BenchReport, ModelReference, SpeedComparison } from '@penjing/runtime';
import type { Command, CommandResult } from '../command.js';
import { common, deviceOf, filled, integer, integers, kvCacheOf, numberOf, textOf } from '../options.js';
import { formatBytes } from '../progress.js';
import { formatFacts, formatTable } from '../table.js';

export const bench: Command = {
  name: 'bench',
  summary: 'measure latency percentiles, tokens per second and peak memory, alone or against another model',
  arguments: [{ name: '<model>', help: 'a model folder or an .onnx file' }],
  options: [
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
    { flags: '--vs <path>', help: 'another model: both are loaded, and run in turn, round by round', parse: filled },
    { flags: '--vs-variant <name>', help: 'variant of the other model' },
    { flags: '--runs <n>', help: 'runs that count (20; 3 for language models)', parse: integer(1) },
    { flags: '--warmup <n>', help: 'runs before them that do not (2)', parse: integer(0) },
    { flags: '--prompt-tokens <n>', help: 'language models: length of the prompt (128)', parse: integer(1) },
    { flags: '--new-tokens <n>', help: 'language models: tokens decoded after it (64)', parse: integer(1) },
    { flags: '--contexts <n,…>', help: 'language models: prompts of these lengths too, as 128,1024,4096', parse: integers(1) },
    { flags: '--batches <n,…>', help: 'language models: so many texts at the same time, as 1,2,4,8', parse: integers(1, 256) },
    common.kvCache,
    common.seed,
    common.device,
    common.threads,
  ],
  examples: [
    'penjing bench out/sapling --variant q4 --contexts 128,1024 --batches 1,2,4,8',
    'penjing bench out/sapling-q4 --vs out/sapling --json',
    'penjing bench model.onnx --runs 50 --threads 1 --json',
  ],
  async run({ arguments: [path = ''], options, signal, onProgress, seed }) {
    const { benchAgainst, benchModel } = await import('@penjing/runtime');
    const reference = (at: string, variant: string | undefined): ModelReference => (variant === undefined ? at : { path: at, variant });
    const model = reference(path, textOf(options, 'variant'));
    const other = textOf(options, 'vs');
    const given: BenchOptions = {
      runs: numberOf(options, 'runs'),
      warmup: numberOf(options, 'warmup'),
      promptTokens: numberOf(options, 'promptTokens'),
      newTokens: numberOf(options, 'newTokens'),
      device: deviceOf(options),
      threads: numberOf(options, 'threads'),
      contexts: options['contexts'] as readonly number[] | undefined,
      batches: options['batches'] as readonly number[] | undefined,
      signal,
      onProgress,
      seed,
      ...kvCacheOf(options),
    };
    if (other === undefined) return alone(await benchModel(model, given));
    return against(await benchAgainst(model, reference(other, textOf(options, 'vsVariant')), given));
  },
};

const ms = (value: number): string => `${value.toPrecision(3)} ms`;
const rate = (tokensPerSecond: number): string => tokensPerSecond.toFixed(tokensPerSecond < 100 ? 1 : 0);
const machineFact = ({ machine, threads }: BenchReport | SpeedComparison): [string, string] => ['machine', `${machine.cpu}, ${threads} of ${machine.cores} cores, load ${machine.loadAverage.toFixed(1)}, Node ${machine.node}`];

function alone(report: BenchReport): CommandResult {
  const { latency, prefill, decode, contexts = [], batches = [] } = report;
  const facts: [string, string][] = [
    ['model', `${report.model.name} (${formatBytes(report.model.bytes)})`],
    ['load', ms(report.loadMs)],
    ['latency p50 / p90 / p99', `${ms(latency.p50)} / ${ms(latency.p90)} / ${ms(latency.p99)}`],
  ];
  if (prefill) facts.push(['prefill', `${rate(prefill.tokensPerSecond)} tokens/s (${prefill.promptTokens} tokens)`]);
  if (decode) facts.push(['decode', `${rate(decode.tokensPerSecond)} tokens/s (p50 / p99 ${ms(decode.latency.p50)} / ${ms(decode.latency.p99)} a token)`]);
  facts.push(['peak memory', formatBytes(report.peakRssBytes)], machineFact(report));
  const tables = [
    ...(contexts.length > 0 ? [formatTable(['context', 'prefill tokens/s', 'decode tokens/s', 'p50 / p99 a token'], contexts.map((each) => [String(each.prefill.promptTokens), rate(each.prefill.tokensPerSecond), rate(each.decode.tokensPerSecond), `${ms(each.decode.latency.p50)} / ${ms(each.decode.latency.p99)}`]))] : []),
    ...(batches.length > 0 ? [formatTable(['texts at once', 'tokens/s', 'of these decoding', 'against the first'], batches.map((each) => [String(each.size), rate(each.tokensPerSecond), rate(each.decodeTokensPerSecond), `${(each.decodeTokensPerSecond / batches[0]!.decodeTokensPerSecond).toFixed(2)}×`]))] : []),
  ];
  return { json: { ...report }, text: [formatFacts(facts), ...tables].join('\n\n') };
}

function against(result: SpeedComparison): CommandResult {
  const { a, b, ratio, prefillRatio, decodeRatio } = result;
  const times = ({ median, min, max }: SpeedComparison['ratio']): string => `${median.toFixed(2)}× (${min.toFixed(2)} to ${max.toFixed(2)})`;
  const rows = [['size', formatBytes(a.bytes), formatBytes(b.bytes), ''], ['latency p50', ms(a.latency.p50), ms(b.latency.p50), times(ratio)], ['latency p99', ms(a.latency.p99), ms(b.latency.p99), '']];
  if (a.prefill && b.prefill && prefillRatio) rows.push([`prefill of ${a.prefill.promptTokens}, tokens/s`, rate(a.prefill.tokensPerSecond), rate(b.prefill.tokensPerSecond), times(prefillRatio)]);
  if (a.decode && b.decode && decodeRatio) rows.push(['decode, tokens/s', rate(a.decode.tokensPerSecond), rate(b.decode.tokensPerSecond), times(decodeRatio)]);
  const facts = formatFacts([['rounds', `${result.rounds}, both models in each`], ['peak memory', `${formatBytes(result.peakRssBytes)} of both`], machineFact(result)]);
  return { json: { ...result }, text: `${formatTable(['', a.name, b.name, 'as fast'], rows)}\n\n${facts}` };
}
