/** A conversation line by line: a person at a terminal, or lines through a pipe. */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { isPenjingError, PenjingError } from '@penjing/core';
import type { Message, Partner } from './partner.js';

export interface ConverseOptions {
  readonly partner: Partner;
  readonly system: string | undefined;
  readonly input: Readable;
  /** The terminal of a person, for prompts and editing of lines; absent, lines are read as they come and the first failure ends it. */
  readonly screen: Writable | undefined;
  /** Forgets the oldest turns of a conversation that is too long, and says so; otherwise a person is asked, and a pipe fails. */
  readonly dropOldest: boolean;
  readonly write: (text: string) => void;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

const HELP = `/reset         forget what was said
/system TEXT   begin anew with another system prompt (none: without one)
/exit          end; so does Ctrl-D, and Ctrl-C when no reply is being written
//TEXT         say something that begins with /`;

/** Ends at the end of the input; gives what was said. Throws `E_CONTEXT` where nobody can be asked, and without a terminal what the partner throws. */
export async function converse({ partner, system: given, input, screen, dropOldest, write, note, signal }: ConverseOptions): Promise<readonly Message[]> {
  using reader = disposable(createInterface({ input, crlfDelay: Infinity, ...(screen && { output: screen, terminal: true }), signal }));
  const lines: AsyncIterator<string, undefined> = reader[Symbol.asyncIterator]();
  let system = given;
  let said: Message[] = [];
  let writing: AbortController | undefined;
  reader.on('SIGINT', () => {
    if (writing) writing.abort(new DOMException('the reply was stopped', 'AbortError'));
    else reader.close();
  });
  const ask = async (prompt: string): Promise<string | undefined> => {
    reader.setPrompt(prompt);
    // A pipe that has ended is closed while its last lines are still read.
    if (screen && !signal.aborted) reader.prompt();
    const { done, value } = await lines.next();
    return done ? undefined : value;
  };

  const replyOnce = async (): Promise<void> => {
    writing = new AbortController();
    let text = '';
    try {
      const messages: Message[] = [...(system === undefined ? [] : [{ role: 'system', content: system } as const]), ...said];
      const { finish } = await partner.reply(messages, { signal: AbortSignal.any([signal, writing.signal]), onText: (piece) => (write(piece), (text += piece)) });
      write('\n');
      if (finish === 'length') note('(cut: --max-new-tokens allows no more, or the context is full)');
    } catch (error) {
      if (text !== '') write('\n');
      if (!writing.signal.aborted) throw error;
      note('(stopped)');
    } finally {
      writing = undefined;
    }
    said.push({ role: 'assistant', content: text });
  };

  const reply = async (): Promise<void> => {
    let dropped = 0;
    let allowed = dropOldest;
    for (;;) {
      try {
        await replyOnce();
        if (dropped > 0) note(`(the oldest ${dropped === 1 ? 'turn was' : `${dropped} turns were`} forgotten: the model's context holds no more)`);
        return;
      } catch (error) {
        const shorter = withoutOldest(said);
        if (!isPenjingError(error) || error.code !== 'E_CONTEXT' || !shorter) throw error;
        if (!allowed && !screen) throw new PenjingError('E_CONTEXT', error.message, { hint: 'Begin anew with /reset, or let the oldest turns be forgotten: --drop-oldest.', cause: error });
        if (!allowed && !/^y(es)?$/i.test(((await ask(`${error.message}. Forget the oldest turns? [y/N] `)) ?? '').trim())) throw error;
        allowed = true;
        said = shorter;
        dropped++;
      }
    }
  };

  const commands: Readonly<Record<string, (rest: string) => void>> = {
    '/help': () => note(HELP),
    '/reset': () => {
      said = [];
      note('(a new conversation)');
    },
    '/system': (rest) => {
      said = [];
      system = rest === '' ? undefined : rest;
      note(system === undefined ? '(a new conversation, without a system prompt)' : '(a new conversation with this system prompt)');
    },
  };

  for (;;) {
    const line = await ask('> ');
    signal.throwIfAborted();
    if (line === undefined || line.trim() === '/exit') return said;
    const [, word, rest] = /^(\/\w*)\s*(.*)$/.exec(line) ?? [];
    if (word !== undefined && !line.startsWith('//')) {
      (commands[word] ?? (() => note(`there is no ${word}\n${HELP}`)))(rest!.trim());
      continue;
    }
    if (line.trim() === '') continue;
    const before = said;
    said = [...said, { role: 'user', content: line.startsWith('//') ? line.slice(1) : line }];
    try {
      await reply();
    } catch (error) {
      if (!screen || signal.aborted || !isPenjingError(error)) throw error;
      // A person goes on; what failed was not said.
      said = before;
      note(`${error.code}: ${error.message}${error.hint === undefined ? '' : `\n  ${error.hint}`}`);
    }
  }
}

/** Without the oldest question and its answer; undefined when only the newest is left. */
function withoutOldest(said: readonly Message[]): Message[] | undefined {
  const next = said.findIndex(({ role }, i) => i > 0 && role === 'user');
  return next < 0 ? undefined : said.slice(next);
}

function disposable<T extends { close(): void }>(resource: T): T & Disposable {
  return Object.assign(resource, { [Symbol.dispose]: () => resource.close() });
}
