/** The tokens of a tokenizer.json as a grammar sees them: what each of them adds to the text. */
import { PenjingError } from '@penjing/core';

export interface Vocabulary {
  /** By id, in the spelling of `type`; empty for ids that have no text (special tokens, holes). */
  readonly tokens: readonly string[];
  /** How tokens are spelt: as they are; bytes as printable characters (GPT-2); with `▁` for spaces and `<0x41>` for single bytes (SentencePiece). */
  readonly type: 'raw' | 'byte_level' | 'byte_fallback';
}

interface DecoderJson {
  readonly type?: unknown;
  readonly decoders?: readonly DecoderJson[];
  readonly pattern?: { readonly String?: unknown };
  readonly content?: unknown;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/** Throws `E_UNSUPPORTED` for tokenizers whose texts are not the sum of their tokens. */
export function readVocabulary(tokenizer: unknown): Vocabulary {
  const { model, decoder, added_tokens: added = [] } = tokenizer as { model?: { vocab?: unknown }; decoder?: DecoderJson | null; added_tokens?: readonly AddedToken[] };
  const type = typeOf(decoder);
  const vocab = model?.vocab;
  const pairs: readonly (readonly [string, number])[] = Array.isArray(vocab) ? vocab.map((piece: readonly [string], id) => [piece[0], id]) : Object.entries((vocab ?? {}) as Record<string, number>);
  const tokens: string[] = [];
  for (const [token, id] of pairs) tokens[id] = token;
  for (const { id, content, special } of added) tokens[id] = special === true ? '' : type === 'byte_level' ? printable(content) : content;
  return { tokens: Array.from(tokens, (token) => token ?? ''), type };
}

function typeOf(decoder: DecoderJson | null | undefined): Vocabulary['type'] {
  const steps = decoder ? (decoder.type === 'Sequence' ? decoder.decoders ?? [] : [decoder]) : [];
  const names = steps.map(({ type }) => String(type));
  const strange = steps.find(({ type, pattern, content }) => !KNOWN.has(String(type)) || (type === 'Replace' && !(pattern?.String === '▁' && content === ' ')));
  if (steps.length === 0 || strange) {
    throw new PenjingError('E_UNSUPPORTED', `text cannot be held to a grammar with this tokenizer: its decoder ${strange ? String(strange.type) : 'is missing, which puts spaces between tokens'}`, {
      hint: 'Byte-level and SentencePiece tokenizers are known; leave constrain out with others.',
    });
  }
  if (names.includes('ByteLevel')) return 'byte_level';
  return names.some((name) => name === 'Replace' || name === 'Metaspace' || name === 'ByteFallback') ? 'byte_fallback' : 'raw';
}

const KNOWN = new Set(['ByteLevel', 'ByteFallback', 'Replace', 'Metaspace', 'Fuse', 'Strip']);

/** Bytes as GPT-2 prints them: those that are printable as themselves, the others in order from U+0100 on. */
function printable(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => BYTES[byte]!).join('');
}

const BYTES = ((): readonly string[] => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode((byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae ? byte : next++));
})();
