/** Options of verbs that join a fleet: the broker, who is asking, and the folders that all machines see. */
import type { JoinOptions } from '@penjing/recipe';
import type { CommandContext, OptionSpec } from './command.js';
import { filled, integer, listOf, numberOf, refuseOptions, textOf, underHeading } from './options.js';

export const fleetOptions: readonly OptionSpec[] = underHeading('Fleet', [
  { flags: '--join <url>', help: 'the NATS server with the jobs, or that knows the stages, nats://HOST:4222 or tls://HOST:4222; several with commas between', parse: filled },
  { flags: '--root <dir>', help: 'a folder that all machines see, as DIR or NAME=DIR (the current folder when absent); jobs reach nothing outside; may be repeated', repeat: true },
  { flags: '--fleet <name>', help: 'fleets on the same server share nothing (penjing)', parse: filled },
  { flags: '--nkey <file>', help: 'an NKey seed, or a .creds file, that says who this is', parse: filled },
  { flags: '--tls-ca <file>', help: 'the authority that signed the certificate of the server', parse: filled },
  { flags: '--tls-cert <file>', help: 'a certificate of this machine, where the server wants one', parse: filled },
  { flags: '--tls-key <file>', help: 'its key', parse: filled },
  { flags: '--ack-wait <seconds>', help: 'how long a worker may be silent before its jobs go to others (30)', parse: integer(1, 3600) },
]);

/** Undefined without --join; options that then would be ignored are refused. */
export function joinOptionsOf({ options, signal, note }: CommandContext): JoinOptions | undefined {
  const servers = textOf(options, 'join');
  if (servers === undefined) {
    // Who trains together has certificates too.
    const tls = options['joinTraining'] === undefined ? ['tlsCa', 'tlsCert', 'tlsKey'] : [];
    refuseOptions(options, ['root', 'fleet', 'nkey', ...tls, 'ackWait'], 'without --join');
    return undefined;
  }
  return {
    servers, signal, onNote: note,
    nkey: textOf(options, 'nkey'), tlsCa: textOf(options, 'tlsCa'), tlsCert: textOf(options, 'tlsCert'), tlsKey: textOf(options, 'tlsKey'),
    fleet: textOf(options, 'fleet'), ackWait: numberOf(options, 'ackWait'),
  };
}

export function rootsOf(options: CommandContext['options']): readonly string[] {
  const roots = listOf(options, 'root');
  return roots.length > 0 ? roots : ['.'];
}
