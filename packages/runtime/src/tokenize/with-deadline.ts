/** Runs synchronous work that hostile data could keep busy for ever (regular expressions, templates) under a time limit. */
import { createContext, Script } from 'node:vm';
import { PenjingError } from '@penjing/core';

const context = createContext({ work: undefined as unknown });
const script = new Script('work()');

/** V8 stops regular expressions too. Throws `E_DEADLINE` naming `what`; costs a few milliseconds a call. */
export function withDeadline<T>(milliseconds: number, what: string, work: () => T): T {
  context['work'] = work;
  try {
    return script.runInContext(context, { timeout: Math.ceil(milliseconds) }) as T;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException | undefined)?.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause;
    throw new PenjingError('E_DEADLINE', `${what} took longer than ${(milliseconds / 1000).toFixed(1)} s and was stopped`, {
      hint: 'A pattern in tokenizer.json or the chat template may be hostile; take the tokenizer of the original model.',
      cause,
    });
  } finally {
    context['work'] = undefined;
  }
}
