/** A worker that serves one stage of a plan, and what runs of such plans need to reach it. */
import { isPenjingError, PenjingError } from '@penjing/core';
import type { StageNetwork } from '@penjing/recipe';
import type { CommandContext, CommandResult, OptionSpec } from './command.js';
import { filled, integer, numberOf, textOf, underHeading } from './options.js';

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
  { flags: '--next <host:port>', help: 'where the stage after it is; the last one has none', parse: filled },
  { flags: '--window <n>', help: 'requests that a client may have under way (16)', parse: integer(1, 1024) },
  { flags: '--allow-public-without-token', help: 'listen on an address that others can reach although there is neither a token nor --tls-ca' },
  tlsName,
]);

export const stageOnlyOptions = ['plan', 'listen', 'next', 'window', 'allowPublicWithoutToken', 'tlsName'] as const;

export function stageNetworkOf(options: CommandContext['options']): StageNetwork {
  return { token: process.env['PENJING_STAGE_TOKEN'] || undefined, ca: textOf(options, 'tlsCa'), cert: textOf(options, 'tlsCert'), key: textOf(options, 'tlsKey'), serverName: textOf(options, 'tlsName') };
}

/** Until it is told to end. Throws `E_OPTION` for half of what is needed. */
export async function runStage({ arguments: [path], options, signal, note }: CommandContext): Promise<CommandResult> {
  const [stage, plan, listen] = [numberOf(options, 'stage')!, textOf(options, 'plan'), textOf(options, 'listen')];
  if (path === undefined || plan === undefined || listen === undefined) throw new PenjingError('E_OPTION', 'a stage needs the model, --plan and --listen', { hint: 'penjing worker model.onnx --stage 0 --plan plan.json --listen 127.0.0.1:7000 --next 127.0.0.1:7001' });
  const { servePlannedStage } = await import('@penjing/recipe');
  let said = '';
  await using served = await servePlannedStage(path, {
    ...stageNetworkOf(options), plan, stage, listen, next: textOf(options, 'next'), window: numberOf(options, 'window'), force: options['allowPublicWithoutToken'] === true, signal,
    onChange: (state) => {
      const now = isPenjingError(state) ? `waiting: ${state.message}` : `ready: ${state.inputs.map(({ name }) => name).join(', ')} → ${state.outputs.map(({ name }) => name).join(', ')}`;
      if (now !== said) note((said = now));
    },
  });
  note(`stage ${stage} listens on ${served.address}`);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  note('ending: what is under way goes on to its end');
  return { json: { stage, address: served.address }, text: '' };
}
