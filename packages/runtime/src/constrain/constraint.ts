/** What generated text can be held to, and its limits. */
import { PenjingError } from '@penjing/core';
import { inRange } from '../generate/range.js';

interface Limits {
  /** Milliseconds that compiling may take; 10,000 when absent, 1 to 600,000. */
  readonly timeLimit?: number;
}

/** One of three: a JSON schema, a regular expression for the whole text, or a grammar in EBNF (GBNF, as llama.cpp names it) whose first rule is `root`. */
export type Constraint =
  | (Limits & { readonly schema: object | boolean; readonly regex?: never; readonly grammar?: never })
  | (Limits & { readonly regex: string; readonly schema?: never; readonly grammar?: never })
  | (Limits & { readonly grammar: string; readonly schema?: never; readonly regex?: never });

/** A constraint as text. */
export interface GrammarSource {
  readonly kind: 'schema' | 'regex' | 'grammar';
  readonly text: string;
}

const KINDS = ['schema', 'regex', 'grammar'] as const;
/** Real schemas have up to some 100 KB; what compiles in time is far less in other forms. */
const LONGEST_TEXT = 2 ** 20;
const TIME_LIMIT = 10_000;

/** Throws `E_OPTION` for what is no constraint. */
export function grammarSource(constraint: Constraint): { readonly source: GrammarSource; readonly timeLimit: number } {
  const given = KINDS.filter((kind) => constraint[kind] !== undefined);
  const [kind] = given;
  if (given.length !== 1 || kind === undefined) throw new PenjingError('E_OPTION', `constrain has ${given.join(' and ') || 'nothing'}; it must have one of ${KINDS.join(', ')}`);
  const text = kind === 'schema' ? jsonOf(constraint.schema) : constraint[kind];
  if (typeof text !== 'string') throw new PenjingError('E_OPTION', `constrain.${kind} is ${typeof text}; it must be a text`);
  inRange(`the length of constrain.${kind}`, text.length, { min: 0, max: LONGEST_TEXT, integer: true, fallback: 0 });
  return { source: { kind, text }, timeLimit: inRange('constrain.timeLimit', constraint.timeLimit, { min: 1, max: 600_000, fallback: TIME_LIMIT }) };
}

function jsonOf(schema: unknown): string | undefined {
  try {
    return JSON.stringify(schema);
  } catch (cause) {
    throw new PenjingError('E_OPTION', `constrain.schema is not JSON: ${String(cause)}`, { cause });
  }
}
