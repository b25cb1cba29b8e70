/** Bytes as text, when they are text. */
import { PenjingError } from '@penjing/core';

/** What stands for bytes that are no UTF-8. */
const REPLACEMENT = '\uFFFD';
/** Of the characters: a text cut in the midst of one, or with a few damaged ones, is still a text. Latin-1 texts have more, even in English of two centuries ago. */
const MOST_DAMAGED = 1e-3;

/** UTF-8, with or without a mark at the beginning. Throws `E_DATA` for texts of other encodings and for what is no text, with `hint` when nothing else is known. */
export function utf8Text(path: string, bytes: Uint8Array, { hint }: { readonly hint: string }): string {
  const wide = bytes.length >= 2 && ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff));
  if (wide) throw new PenjingError('E_DATA', `${path} is UTF-16`, { hint: 'Texts are read as UTF-8: iconv -f UTF-16 -t UTF-8.' });
  if (bytes.includes(0)) throw new PenjingError('E_DATA', `${path} is no text`, { hint });
  const text = new TextDecoder('utf-8', { fatal: false }).decode(bytes);
  let [damaged, first] = [0, -1];
  for (let at = text.indexOf(REPLACEMENT); at !== -1; at = text.indexOf(REPLACEMENT, at + 1)) {
    if (damaged++ === 0) first = at;
  }
  // one at either end, where a tool that counts bytes has cut
  if (damaged > Math.max(2, MOST_DAMAGED * text.length)) {
    throw new PenjingError('E_DATA', `${path} is not UTF-8: line ${text.slice(0, first).split('\n').length} has other bytes`, { hint: 'Texts are read as UTF-8: iconv -f ISO-8859-1 -t UTF-8, or whatever it is.' });
  }
  return text;
}
