/** `penjing doctor`: can this machine run Penjing, and how well. */
import { basename, dirname, resolve } from 'node:path';
import type { TaskOptions } from '@penjing/core';
import type { Command, CommandResult } from '../command.js';
import { common, refuseOptions, textOf } from '../options.js';
import { formatFacts, formatTable } from '../table.js';
import { checkAbsent, writeFiles } from '../write-files.js';

export const doctor: Command = {
  name: 'doctor',
  summary: 'check Node, ONNX Runtime, the kernels, memory and disk of this machine',
  arguments: [],
  options: [
    { flags: '--links', help: 'measure what plans need instead: speed of an engine by threads, of memory, of engines side by side, of messages; let nothing else run meanwhile' },
    { ...common.output, flags: '-o, --output <devices.json>', help: 'with --links: where the list of devices for `penjing plan` goes', required: false },
    common.force,
  ],
  examples: ['penjing doctor --json', 'penjing doctor --links -o devices.json'],
  async run({ options, signal, onProgress }) {
    if (options['links'] === true) return measureLinks(textOf(options, 'output'), options['force'] === true, { signal, ...(onProgress && { onProgress }) });
    refuseOptions(options, ['output', 'force'], 'without --links');
    const { checkMachine } = await import('@penjing/recipe');
    const report = await checkMachine({ signal });
    const rows = report.checks.map(({ name, ok, value, hint }) => [ok ? 'ok' : 'problem', name, value, ok ? '' : (hint ?? '')]);
    return { json: { ...report }, text: formatTable(['', 'what', 'found', 'what to do'], rows) };
  },
};

async function measureLinks(output: string | undefined, force: boolean, task: TaskOptions): Promise<CommandResult> {
  if (output !== undefined) await checkAbsent(resolve(output), force);
  const { measureDevices } = await import('@penjing/recipe');
  const measured = await measureDevices(task);
  if (output !== undefined) await writeFiles(dirname(resolve(output)), [{ path: basename(output), text: `${JSON.stringify(measured, undefined, 1)}\n` }], force);
  const [device] = measured.devices;
  const [link] = measured.links;
  const rows = (device?.measured?.engines ?? []).map(({ threads, flops, bandwidth }) => [
    String(threads),
    ...['product', 'convolution', 'packed', 'integer'].map((kind) => giga(Math.max(0, ...(flops[kind] ?? []).map(([, rate]) => rate)))),
    giga(bandwidth.at(-1)?.[1] ?? 0),
  ]);
  const { engines: [single] = [], together, caller, sums } = device?.measured ?? {};
  const rates = (kind: string): string => percent((together?.flops[kind]?.at(-1)?.[1] ?? 1) / (single?.flops[kind]?.at(-1)?.[1] ?? 1));
  const facts = formatFacts([
    ['devices', `${measured.devices.length} of ${device?.host ?? ''}, one per core`],
    ['engines side by side', `each as fast as ${rates('product')} of one alone in products, ${rates('elementwise')} in elementwise work, ${percent((together?.bandwidth.at(-1)?.[1] ?? 1) / (single?.bandwidth.at(-1)?.[1] ?? 1))} in reading memory`],
    ['messages', `${micro(link?.latency)} one way, ${micro(caller?.callSeconds)} of the calling thread per call; copies ${giga(caller?.copy.at(-1)?.[1] ?? 0)} GB/s, outputs ${giga(single?.outputs?.at(-1)?.[1] ?? 0)} GB/s`],
    ...(sums ? [['sums over all cores', sums.map(([bytes, taken]) => `${micro(taken)} for ${bytes / 1024} KB`).join(', ')] as [string, string]] : []),
    ...(output === undefined ? [] : [['wrote', output] as [string, string]]),
  ]);
  return { json: { ...measured }, text: `${formatTable(['threads', 'products, GFLOP/s', 'convolutions', '4-bit products', '8-bit products', 'memory, GB/s'], rows)}\n\n${facts}` };
}

const giga = (rate: number): string => (rate / 1e9).toPrecision(3);
const micro = (seconds = 0): string => `${(1e6 * seconds).toFixed(0)} µs`;
const percent = (share = 1): string => `${(100 * share).toFixed(0)} %`;
