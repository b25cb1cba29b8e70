/** `penjing bench`: how fast a model is on this machine. */
import type { Command } from '../command.js';
import { common, deviceOf, integer, numberOf, textOf } from '../options.js';
import { formatBytes } from '../progress.js';
import { formatFacts } from '../table.js';

export const bench: Command = {
  name: 'bench',
  summary: 'measure latency percentiles, tokens per second and peak memory',
  arguments: [{ name: '<model>', help: 'a model folder or an .onnx file' }],
  options: [
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
    { flags: '--runs <n>', help: 'runs that count (20; 3 for language models)', parse: integer(1) },
    { flags: '--warmup <n>', help: 'runs before them that do not (2)', parse: integer(0) },
    { flags: '--prompt-tokens <n>', help: 'language models: length of the prompt (128)', parse: integer(1) },
    { flags: '--new-tokens <n>', help: 'language models: tokens decoded after it (64)', parse: integer(1) },
    common.seed,
    common.device,
    common.threads,
  ],
  examples: ['penjing bench out/sapling --variant q4', 'penjing bench model.onnx --runs 50 --threads 1 --json'],
  async run({ arguments: [path = ''], options, signal, onProgress, seed }) {
    const { benchModel } = await import('@penjing/runtime');
    const variant = textOf(options, 'variant');
    const report = await benchModel(variant === undefined ? path : { path, variant }, {
      runs: numberOf(options, 'runs'),
      warmup: numberOf(options, 'warmup'),
      promptTokens: numberOf(options, 'promptTokens'),
      newTokens: numberOf(options, 'newTokens'),
      device: deviceOf(options),
      threads: numberOf(options, 'threads'),
      signal,
      onProgress,
      seed,
    });
    const { latency, prefill, decode, machine } = report;
    const ms = (value: number): string => `${value.toPrecision(3)} ms`;
    const facts: [string, string][] = [
      ['model', `${report.model.name} (${formatBytes(report.model.bytes)})`],
      ['load', ms(report.loadMs)],
      ['latency p50 / p90 / p99', `${ms(latency.p50)} / ${ms(latency.p90)} / ${ms(latency.p99)}`],
    ];
    if (prefill) facts.push(['prefill', `${prefill.tokensPerSecond.toFixed(0)} tokens/s (${prefill.promptTokens} tokens)`]);
    if (decode) facts.push(['decode', `${decode.tokensPerSecond.toFixed(1)} tokens/s (p50 ${ms(decode.latency.p50)} a token)`]);
    facts.push(['peak memory', formatBytes(report.peakRssBytes)], ['machine', `${machine.cpu}, ${report.threads} of ${machine.cores} cores, Node ${machine.node}`]);
    return { json: { ...report }, text: formatFacts(facts) };
  },
};
