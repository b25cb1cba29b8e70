/** Parses a command line, runs its verb under Ctrl-C, and turns every ending into an exit code. */
import { isPenjingError } from '@penjing/core';
import { Command as Program, CommanderError, Option } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import type { Command, CommandContext, OptionSpec } from './command.js';
import { everywhere } from './options.js';
import { createProgressView } from './progress.js';
import { verbs } from './verbs.js';

/** Exit codes of the command line contract. */
const EXIT = { done: 0, failure: 1, usage: 2, interrupted: 130 } as const;

export interface Streams {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** Runs one command line; gives the exit code. */
export async function runCli(argv: readonly string[], streams: Streams): Promise<number> {
  const json = argv.includes('--json');
  let code: number = EXIT.done;
  const program = new Program('penjing')
    .description('Convert, quantize, compare and run neural networks on Node alone.')
    .version(packageJson.version, '-V, --version')
    .exitOverride()
    .showHelpAfterError('(penjing --help lists the verbs, penjing <verb> --help its options)');
  // addCommand does not pass these on.
  const output = { writeOut: (text: string) => void streams.stdout.write(text), writeErr: (text: string) => void (json || streams.stderr.write(text)) };
  program.configureOutput(output);
  for (const verb of verbs) {
    program.addCommand(
      declare(verb, async (args, options) => {
        code = await runVerb(verb, args, options, streams);
      }).configureOutput(output),
    );
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // --help and --version arrive here too, with code 0.
    if (error.exitCode === 0) return EXIT.done;
    if (json) printError(streams, { code: 'E_USAGE', message: error.message.replace(/^error: /, ''), hint: 'penjing --help' });
    return EXIT.usage;
  }
}

function declare(verb: Command, action: (args: string[], options: Record<string, unknown>) => Promise<void>): Program {
  const command = new Program(verb.name).description(verb.summary).exitOverride().showHelpAfterError(`(penjing ${verb.name} --help lists its options)`);
  for (const { name, help } of verb.arguments) command.argument(name, help);
  for (const spec of [...verb.options, ...everywhere]) command.addOption(toOption(spec));
  command.addHelpText('after', `\nExamples:\n${verb.examples.map((line) => `  ${line}`).join('\n')}`);
  command.action(async () => {
    await action(command.processedArgs.flat().filter((value) => value !== undefined) as string[], command.opts());
  });
  return command;
}

function toOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.help).makeOptionMandatory(spec.required === true);
  if (spec.choices) option.choices(spec.choices);
  if (spec.group) option.helpGroup(`${spec.group}:`);
  const { parse = (text: string): unknown => text } = spec;
  if (spec.repeat) {
    option.argParser<unknown[]>((text, previous) => [...(previous ?? []), parse(text)]);
  } else if (spec.parse) {
    option.argParser((text) => parse(text));
  }
  return option;
}

async function runVerb(verb: Command, args: readonly string[], options: Record<string, unknown>, streams: Streams): Promise<number> {
  const json = options['json'] === true;
  const quiet = options['quiet'] === true;
  const view = createProgressView(streams.stderr, quiet);
  const abort = new AbortController();
  const interrupt = (): void => {
    // The first Ctrl-C ends at the next safe border; a second one does not wait.
    if (abort.signal.aborted) process.exit(EXIT.interrupted);
    abort.abort(new DOMException('interrupted', 'AbortError'));
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const context: CommandContext = {
    arguments: args,
    options,
    signal: abort.signal,
    onProgress: view.update,
    write: (text) => void (json || streams.stdout.write(text)),
    note: (text) => {
      view.clear();
      if (!quiet) streams.stderr.write(`${text}\n`);
    },
    ...(typeof options['seed'] === 'number' ? { seed: options['seed'] } : {}),
  };
  try {
    const result = await verb.run(context);
    view.clear();
    if (json) streams.stdout.write(`${toJson(result.json)}\n`);
    else if (result.text) streams.stdout.write(`${result.text}\n`);
    return result.failed ? EXIT.failure : EXIT.done;
  } catch (error) {
    view.clear();
    return report(error, abort.signal.aborted, json, streams);
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

interface PrintedError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

function report(error: unknown, aborted: boolean, json: boolean, streams: Streams): number {
  if (aborted) {
    if (json) printError(streams, { code: 'E_INTERRUPTED', message: 'interrupted' });
    else streams.stderr.write('interrupted\n');
    return EXIT.interrupted;
  }
  if (isPenjingError(error)) {
    const { code, message, hint } = error;
    if (json) printError(streams, { code, message, ...(hint === undefined ? {} : { hint }) });
    else streams.stderr.write(`${code}: ${message}\n${hint === undefined ? '' : `  ${hint}\n`}`);
    return EXIT.failure;
  }
  const failure = systemFailure(error);
  if (failure) {
    if (json) printError(streams, failure);
    else streams.stderr.write(`${failure.code}: ${failure.message}\n`);
    return EXIT.failure;
  }
  // Not a failure we know: a bug of ours. The stack is what a bug report needs.
  const message = error instanceof Error ? error.message : String(error);
  if (json) printError(streams, { code: 'E_INTERNAL', message, hint: 'This is a bug in Penjing; please report it with the command.' });
  else streams.stderr.write(`E_INTERNAL: ${error instanceof Error ? error.stack : message}\n  This is a bug in Penjing; please report it with the command.\n`);
  return EXIT.failure;
}

/** JSON has no infinities; as texts they stay what they are (an error of zero has an infinite ratio). */
function toJson(value: object): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item));
}

/** A refusal of the operating system that no package has named: its message names the path. */
function systemFailure(error: unknown): PrintedError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return undefined;
  const known: Readonly<Record<string, string>> = { ENOENT: 'E_NOT_FOUND', EACCES: 'E_PERMISSION', EPERM: 'E_PERMISSION', EROFS: 'E_PERMISSION', ENOSPC: 'E_DISK_FULL' };
  return { code: known[code] ?? 'E_IO', message };
}

function printError(streams: Streams, error: PrintedError): void {
  streams.stdout.write(`${JSON.stringify({ error })}\n`);
}
