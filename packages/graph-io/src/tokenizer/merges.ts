/** The merges of a BPE that is stored as pieces with scores, which is how SentencePiece stores it. */
import { PenjingError } from '@penjing/core';
import { tokenizerLimits } from '../limits.js';
import type { Piece } from './pieces.js';

/**
 * Every way to make a piece of two others, the better piece first and of one piece the longer left side first, as
 * transformers orders them. Only normal pieces take part: SentencePiece cuts the others out of the text before it merges.
 * Throws `E_LIMIT` for more merges than any vocabulary has.
 */
export function mergesOf(pieces: readonly Piece[]): [string, string][] {
  const ids = new Map<string, number>();
  for (const [id, { text, kind }] of pieces.entries()) if (kind === 'normal') ids.set(text, id);
  const found: { readonly left: string; readonly right: string; readonly score: number; readonly lengths: readonly [number, number] }[] = [];
  for (const { text, score, kind } of pieces) {
    if (kind !== 'normal') continue;
    const characters = Array.from(text);
    let at = 0;
    const splits: { readonly left: string; readonly right: string; readonly index: number }[] = [];
    for (let index = 1; index < characters.length; index++) {
      at += characters[index - 1]!.length;
      const [left, right] = [text.slice(0, at), text.slice(at)];
      if (ids.has(left) && ids.has(right)) splits.push({ left, right, index });
    }
    if (found.length + splits.length > tokenizerLimits.merges) throw new PenjingError('E_LIMIT', `the vocabulary gives more than ${tokenizerLimits.merges} merges`);
    splits.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    for (const { left, right, index } of splits) found.push({ left, right, score, lengths: [index, characters.length - index] });
  }
  // the sort is stable, as Python's is
  found.sort((a, b) => b.score - a.score || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1]);
  return found.map(({ left, right }) => [left, right]);
}
