/** `penjing plan`: where a model should run, and what that is expected to cost. */
import { basename, dirname, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Command } from '../command.js';
import { common, filled, integer, numberOf, textOf } from '../options.js';
import { formatBytes } from '../progress.js';
import { formatTable } from '../table.js';
import { checkAbsent, writeFiles } from '../write-files.js';

const goals = ['latency', 'throughput', 'memory'] as const;
/** Rows of the table on a terminal; the file and the page have them all. */
const SHOWN = 12;

export const plan: Command = {
  name: 'plan',
  summary: 'forecast how a model runs on several devices, choose a layout and say why',
  arguments: [{ name: '<model>', help: 'an .onnx file, or anything that converts to one' }],
  options: [
    { ...common.output, flags: '-o, --output <plan.json>', help: 'where the plan goes; nothing is written when absent', required: false },
    { flags: '--devices <file>', help: 'what `penjing doctor --links -o` wrote, or a list by hand; this machine is measured when absent', parse: filled },
    { flags: '--measure', help: 'run the model on one engine of this machine first: forecasts follow from what it takes' },
    { flags: '--try <n>', help: 'run the n layouts on this machine that are expected to be the best, and choose by what they give', parse: integer(1, 64) },
    { flags: '--goal <goal>', help: 'what counts: time of one request (default), requests per second, or bytes per device', choices: goals },
    { flags: '--size <symbol=n>', help: 'size of a dimension of the inputs, as batch=8; several are allowed', parse: sizeOf, repeat: true },
    { flags: '--graph <name>', help: 'which graph, of a model with several: encoder_model' },
    { flags: '--across-hosts', help: 'cut matrices over hosts too, which is slow on most networks: shards wait for it at every layer' },
    common.report,
    common.force,
  ],
  examples: ['penjing plan out/model --size batch=8 --goal throughput --measure -o plan.json', 'penjing plan out/model --goal throughput --try 4 -o plan.json', 'penjing plan model.onnx --devices devices.json --report plan.html'],
  async run({ arguments: [path = ''], options, signal, onProgress }) {
    const output = textOf(options, 'output');
    if (output !== undefined) await checkAbsent(resolve(output), options['force'] === true);
    const { planInput } = await import('@penjing/recipe');
    const sizes = Object.fromEntries((options['size'] as readonly (readonly [string, number])[] | undefined) ?? []);
    const { plan: made, ranked } = await planInput(path, {
      devices: textOf(options, 'devices'),
      goal: goals.find((goal) => goal === options['goal']),
      sizes,
      graph: textOf(options, 'graph'),
      report: textOf(options, 'report'),
      force: options['acrossHosts'] === true,
      measure: options['measure'] === true,
      tries: numberOf(options, 'try'),
      signal,
      ...(onProgress && { onProgress }),
    });
    if (output !== undefined) await writeFiles(dirname(resolve(output)), [{ path: basename(output), text: `${JSON.stringify(made, undefined, 1)}\n` }], options['force'] === true);
    const tried = ranked.some(({ measured }) => measured);
    const rows = ranked.slice(0, SHOWN).map(({ name, forecast, measured }, i) => [i === 0 ? '→' : '', name, ...(tried ? [measuredText(measured)] : []), `${(1e3 * forecast.latency).toPrecision(3)} ms`, forecast.throughput.toLocaleString('en', { maximumSignificantDigits: 3 }), formatBytes(Math.max(...Object.values(forecast.memory))), `${(100 * forecast.bubble).toFixed(0)} %`]);
    const table = formatTable(['', 'layout', ...(tried ? ['measured'] : []), 'one request', 'requests/s', 'most memory', 'bubble'], rows);
    return { json: { ...made }, text: [made.reasons.join('\n'), table, ...(output === undefined ? [] : [`wrote ${output}`])].join('\n\n') };
  },
};

function measuredText({ latency, throughput }: { readonly latency?: number; readonly throughput?: number } = {}): string {
  if (throughput !== undefined) return `${throughput.toLocaleString('en', { maximumSignificantDigits: 3 })} /s`;
  return latency === undefined ? '' : `${(1e3 * latency).toPrecision(3)} ms`;
}

function sizeOf(text: string): readonly [string, number] {
  const match = /^([^=]+)=(\d{1,9})$/.exec(text.trim());
  if (!match) throw new InvalidArgumentError('a symbol and its size are needed, as batch=8.');
  return [match[1]!, Number(match[2])];
}
