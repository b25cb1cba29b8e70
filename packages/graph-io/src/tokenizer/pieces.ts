/** The pieces of a SentencePiece vocabulary, as ModelProto and GGUF both number them. */
import { PenjingError } from '@penjing/core';
import { tokenizerLimits } from '../limits.js';

export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: PieceKind;
}

const KINDS = { 1: 'normal', 2: 'unknown', 3: 'control', 4: 'user-defined', 5: 'unused', 6: 'byte' } as const;

export type PieceKind = (typeof KINDS)[keyof typeof KINDS];

/** `undefined` for a number nobody uses. */
export function pieceKind(number: number): PieceKind | undefined {
  return Object.hasOwn(KINDS, number) ? KINDS[number as keyof typeof KINDS] : undefined;
}

/** Throws `E_TOKENIZER` for two pieces of one text, `E_LIMIT` for more or longer pieces than any vocabulary has. */
export function checkPieces(texts: readonly string[]): void {
  const { pieces, pieceLength } = tokenizerLimits;
  if (texts.length === 0) throw new PenjingError('E_TOKENIZER', 'the vocabulary is empty');
  if (texts.length > pieces) throw new PenjingError('E_LIMIT', `the vocabulary has ${texts.length} pieces, more than ${pieces}`);
  const ids = new Map<string, number>();
  for (const [id, text] of texts.entries()) {
    if (text.length > pieceLength) throw new PenjingError('E_LIMIT', `piece ${id} of the vocabulary has ${text.length} characters, more than ${pieceLength}`);
    const known = ids.get(text);
    if (known !== undefined) throw new PenjingError('E_TOKENIZER', `pieces ${known} and ${id} of the vocabulary are both ${JSON.stringify(text)}`);
    ids.set(text, id);
  }
}
