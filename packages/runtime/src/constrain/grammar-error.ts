/** Errors about what a text is to be held to. */
import { PenjingError } from '@penjing/core';

/** What is asked for is not right, or cannot be held to exactly; nothing is generated then. */
export function grammarError(message: string, hint = 'Change it, or leave it out and check the text afterwards.'): PenjingError {
  return new PenjingError('E_GRAMMAR', message, { hint });
}
