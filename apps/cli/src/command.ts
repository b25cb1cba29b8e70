/** What a verb is: its words for the user, and a function from options to a result. No tensor code in here. */
import type { TaskOptions } from '@penjing/core';

/** An option as commander spells it: flags, what it means, and how its text is read. */
export interface OptionSpec {
  readonly flags: string;
  readonly help: string;
  readonly parse?: (text: string) => unknown;
  readonly choices?: readonly string[];
  readonly required?: boolean;
  /** May be given several times; the values arrive as a list. */
  readonly repeat?: boolean;
  /** Heading under which --help lists it. */
  readonly group?: string;
}

/** What a verb works with. */
export interface CommandContext extends TaskOptions {
  readonly arguments: readonly string[];
  /** Options by camel-case name, already parsed. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  /** Text on stdout while the verb runs, for streams; nothing with --json. */
  readonly write: (text: string) => void;
  /** A note for people, on stderr; nothing with --quiet. */
  readonly note: (text: string) => void;
}

export interface CommandResult {
  /** The one object that --json prints. */
  readonly json: Readonly<Record<string, unknown>>;
  /** What is printed otherwise. */
  readonly text: string;
  /** Parts of the work failed, as the result tells: the exit code says so. */
  readonly failed?: boolean;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Positional arguments, as commander spells them: `<input>`, `[recipe...]`. */
  readonly arguments: readonly { readonly name: string; readonly help: string }[];
  readonly options: readonly OptionSpec[];
  /** A working command line or two. */
  readonly examples: readonly string[];
  run(context: CommandContext): Promise<CommandResult>;
}
