/** A worker that serves one stage of a plan, and what runs of such plans need to reach it. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { BrokerOptions, StageNetwork } from '@penjing/recipe';
import type { CommandContext, CommandResult, OptionSpec } from './command.js';
import { filled, integer, numberOf, refuseOptions, textOf, underHeading } from './options.js';

const tlsName: OptionSpec = { flags: '--tls-name <name>', help: 'name in the certificates of stages, where it is not their address', parse: filled };

/** Of those who speak to stages; the token is in the environment, where lists of processes do not show it. */
export const stageNetworkOptions: readonly OptionSpec[] = [
  { flags: '--tls-ca <file>', help: 'authorities of the certificates of stages and their clients; a stage then wants one of its clients', parse: filled },
  { flags: '--tls-cert <file>', help: 'own certificate', parse: filled },
  { flags: '--tls-key <file>', help: 'its key', parse: filled },
  tlsName,
];

/** Beside those of a fleet, whose certificates a stage uses too. */
export const stageOptions: readonly OptionSpec[] = underHeading('A stage of a plan', [
  { flags: '--stage <i>', help: 'serve this stage of the pipeline of a plan, from 0; a token of all stages is in PENJING_STAGE_TOKEN; with --tls-ca it wants certificates of its clients', parse: integer(0, 4095) },
  { flags: '--plan <file.json>', help: 'the plan (penjing plan)', parse: filled },
  { flags: '--listen <host:port>', help: 'where the stage before it, or the front, finds it', parse: filled },
  { flags: '--next <host:port>', help: 'where the stage after it is; the last one has none, and with --join none has', parse: filled },
  { flags: '--shard <k>', help: 'where the stage is in shards on several machines: which one, from 0; the first one listens, the others look for it; the whole model is stage 0 of a plan of shards', parse: integer(0, 255) },
  { flags: '--first <host:port>', help: 'of a shard that is not the first one: where that listens; with --join the server knows', parse: filled },
  { flags: '--window <n>', help: 'requests that a client may have under way (16)', parse: integer(1, 1024) },
  { flags: '--allow-public-without-token', help: 'listen on an address that others can reach although there is neither a token nor --tls-ca' },
  tlsName,
]);

export const stageOnlyOptions = ['plan', 'listen', 'next', 'shard', 'first', 'window', 'allowPublicWithoutToken', 'tlsName'] as const;

export function stageNetworkOf(options: CommandContext['options']): StageNetwork {
  return { token: process.env['PENJING_STAGE_TOKEN'] || undefined, ca: textOf(options, 'tlsCa'), cert: textOf(options, 'tlsCert'), key: textOf(options, 'tlsKey'), serverName: textOf(options, 'tlsName') };
}

/** The server through which stages and fronts find each other; undefined without --join. Certificates are those of the stages. */
export function stageBrokerOf({ options, signal, note }: CommandContext): BrokerOptions | undefined {
  const servers = textOf(options, 'join');
  if (servers === undefined) {
    refuseOptions(options, ['fleet', 'nkey'], 'without --join');
    return undefined;
  }
  const tls = servers.includes('tls://') && { tlsCa: textOf(options, 'tlsCa'), tlsCert: textOf(options, 'tlsCert'), tlsKey: textOf(options, 'tlsKey') };
  return { servers, nkey: textOf(options, 'nkey'), fleet: textOf(options, 'fleet'), signal, onNote: note, ...tls };
}

/** Until it is told to end. Throws `E_OPTION` for half of what is needed. */
export async function runStage(context: CommandContext): Promise<CommandResult> {
  const { arguments: [path], options } = context;
  const [stage, shard, plan] = [numberOf(options, 'stage')!, numberOf(options, 'shard'), textOf(options, 'plan')];
  if (path === undefined || plan === undefined) throw new PenjingError('E_OPTION', 'a stage needs the model and --plan', { hint: HINT });
  const broker = stageBrokerOf(context);
  const address = await ((shard ?? 0) > 0 ? takePart(context, { path, plan, stage, broker }, shard!) : serve(context, { path, plan, stage, broker }));
  return { json: { stage, ...(shard !== undefined && { shard }), ...(address !== undefined && { address }) }, text: '' };
}

const HINT = 'penjing worker model.onnx --stage 0 --plan plan.json --listen 127.0.0.1:7000 --next 127.0.0.1:7001';

interface Place {
  readonly path: string;
  readonly plan: string;
  readonly stage: number;
  readonly broker: BrokerOptions | undefined;
}

async function serve({ options, signal, note }: CommandContext, { path, plan, stage, broker }: Place): Promise<string> {
  const listen = textOf(options, 'listen');
  if (listen === undefined) throw new PenjingError('E_OPTION', 'a stage needs --listen', { hint: HINT });
  refuseOptions(options, ['first'], 'here: it is for --shard 1 and up');
  if (broker) refuseOptions(options, ['next'], 'with --join: the server knows where the next stage is');
  const { servePlannedStage } = await import('@penjing/recipe');
  const say = changes(note);
  await using served = await servePlannedStage(path, {
    ...stageNetworkOf(options), plan, stage, sharded: numberOf(options, 'shard') === 0, listen, next: textOf(options, 'next'), broker, window: numberOf(options, 'window'), force: options['allowPublicWithoutToken'] === true, signal,
    onChange: (state) => say(isPenjingError(state) ? `waiting: ${state.message}` : `ready: ${state.inputs.map(({ name }) => name).join(', ')} → ${state.outputs.map(({ name }) => name).join(', ')}`),
  });
  note(`stage ${stage} listens on ${served.address}`);
  await untilTold(signal);
  note('ending: what is under way goes on to its end');
  return served.address;
}

async function takePart({ options, signal, note }: CommandContext, { path, plan, stage, broker }: Place, shard: number): Promise<undefined> {
  refuseOptions(options, ['listen', 'next', 'window', 'allowPublicWithoutToken'], `with --shard ${shard}: the first shard listens`);
  if (broker) refuseOptions(options, ['first'], 'with --join: the server knows where the first shard is');
  const first = textOf(options, 'first');
  if (!broker && first === undefined) throw new PenjingError('E_OPTION', `shard ${shard} is not told where the first one is`, { hint: 'Give --first HOST:PORT, where --shard 0 listens, or --join nats://HOST:4222.' });
  const { joinPlannedStage } = await import('@penjing/recipe');
  const say = changes(note);
  await using _shard = await joinPlannedStage(path, {
    ...stageNetworkOf(options), plan, stage, shard, first, broker, signal,
    onChange: (state) => say(state === 'ready' ? `ready: shard ${shard} of stage ${stage}` : `waiting: ${state.message}`),
  });
  await untilTold(signal);
  note('ending: what is under way fails, and is asked again when the shard is back');
  return undefined;
}

/** Says what it is told unless it said that last. */
function changes(note: CommandContext['note']): (text: string) => void {
  let said = '';
  return (text) => {
    if (text !== said) note((said = text));
  };
}

async function untilTold(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
