/** What the calling thread and a grammar thread say to each other. */
import type { PlainError } from '@penjing/core';
import type { MessagePort } from 'node:worker_threads';
import type { GrammarSource } from './constraint.js';

export type GrammarRequest =
  /** Compiles, unless it was the last one, and begins a text: tokens come through the port, masks go into cells that the reply brings. */
  | { readonly open: number; readonly source: GrammarSource; readonly port: MessagePort }
  /** Is answered when all that came before is done. */
  | { readonly ping: number };

export type GrammarReply =
  | { readonly ready: true }
  | { readonly id: number; readonly cells?: SharedArrayBuffer }
  /** `broken`: the thread is of no use any more. */
  | { readonly id?: number; readonly error: PlainError; readonly broken: boolean };
