/** What is said to requests that are malformed, too large, or ask for what is not served. */
import { PenjingError } from '@penjing/core';

/** `E_REQUEST`: the message breaks the protocol. */
export const refused = (message: string, hint?: string, cause?: unknown): PenjingError => new PenjingError('E_REQUEST', message, { ...(hint !== undefined && { hint }), cause });

/** `E_LIMIT`: the message asks for more than the limits allow. */
export const tooLarge = (message: string, hint: string): PenjingError => new PenjingError('E_LIMIT', message, { hint });

/** `E_UNSUPPORTED`: the protocol has it, this implementation refuses it. */
export const notServed = (message: string, hint: string): PenjingError => new PenjingError('E_UNSUPPORTED', message, { hint });
