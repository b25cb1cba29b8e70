/** Options of the verbs that train for a training on several machines. */
import { PenjingError } from '@penjing/core';
import type { RunRecipeOptions } from '@penjing/recipe';
import type { CommandContext, CommandResult, OptionSpec } from './command.js';
import { filled, integer, numberOf, textOf, underHeading } from './options.js';

export const togetherOptions: readonly OptionSpec[] = underHeading('Several machines', [
  { flags: '--join-training <host:port>', help: 'train together with the same command elsewhere: each computes its share of every batch. Rank 0 listens there, the others connect; a token of all is in PENJING_TRAINING_TOKEN', parse: filled },
  { flags: '--rank <n>', help: 'which of them this is, from 0', parse: integer(0, 255) },
  { flags: '--world <n>', help: 'how many there are', parse: integer(2, 256) },
  { flags: '--tls-ca <file>', help: 'authorities of their certificates; rank 0 then wants one of the others', parse: filled },
  { flags: '--tls-cert <file>', help: 'certificate of this one; rank 0 needs it for TLS', parse: filled },
  { flags: '--tls-key <file>', help: 'its key', parse: filled },
]);

/** Runs with the others, if there are any; a failure is told to them. Throws `E_OPTION` for half of what is needed. */
export async function runTogether({ options, signal, note }: CommandContext, run: (exchange: RunRecipeOptions['exchange']) => Promise<CommandResult>): Promise<CommandResult> {
  const address = textOf(options, 'joinTraining');
  const [rank, world] = [numberOf(options, 'rank'), numberOf(options, 'world')];
  if (address === undefined) {
    const idle = ['rank', 'world', ...(options['join'] === undefined ? ['tls-ca', 'tls-cert', 'tls-key'] : [])].find((name) => options[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())] !== undefined);
    if (idle !== undefined) throw new PenjingError('E_OPTION', `--${idle} means nothing without --join-training`, { hint: 'Say where rank 0 is: --join-training HOST:PORT.' });
    return run(undefined);
  }
  if (options['join'] !== undefined) throw new PenjingError('E_OPTION', '--join and --join-training do not go together', { hint: 'Train together, or have a fleet give the answers of the teacher.' });
  if (rank === undefined || world === undefined) throw new PenjingError('E_OPTION', `--${rank === undefined ? 'rank' : 'world'} is missing beside --join-training`, { hint: 'Every process says which one it is, and how many there are: --rank 0 --world 2.' });
  const { joinTraining } = await import('@penjing/recipe');
  await using exchange = await joinTraining({ address, rank, world, token: process.env['PENJING_TRAINING_TOKEN'], ca: textOf(options, 'tlsCa'), cert: textOf(options, 'tlsCert'), key: textOf(options, 'tlsKey'), signal, onNote: note });
  try {
    return await run(exchange);
  } catch (error) {
    exchange.fail(error);
    throw error;
  }
}
