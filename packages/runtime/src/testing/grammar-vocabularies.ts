/** Tokenizers for tests of constrained output: every byte is a token, and some pieces of JSON are. */

const bytes = (spell: (byte: number) => string): string[] => Array.from({ length: 256 }, (_, byte) => spell(byte));
const special = (id: number, content: string): object => ({ id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false });

function tokenizer(vocab: readonly string[], decoder: object): object {
  return {
    version: '1.0', added_tokens: [special(0, '<s>'), special(1, '</s>')], normalizer: null, pre_tokenizer: null, post_processor: null, decoder,
    model: { type: 'BPE', vocab: Object.fromEntries(vocab.map((token, id) => [token, id])), merges: [], byte_fallback: true, unk_token: null },
  };
}

const printable = ((): string[] => {
  let next = 0x100;
  return bytes((byte) => String.fromCharCode((byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae ? byte : next++));
})();

/** As GPT-2 and Llama 3 have it: 270 tokens. */
export const byteLevelTokenizer = tokenizer(['<s>', '</s>', ...printable, '{"', '":', '",', 'Ġ"', '"}', 'true', 'fal', 'nul', 'Ã©', 'Ċ', '[[', 'ĠĠ'].filter((token, i, all) => all.indexOf(token) === i), { type: 'ByteLevel' });

/** As SentencePiece has it, with bytes for what has no piece: 300 tokens or so. */
export const byteFallbackTokenizer = tokenizer(
  ['<s>', '</s>', ...bytes((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`), '▁', '▁{', '{"', '":', '▁"', '"', '}', '{', '[', ']', ',', ':', '1', '23', '0', 'true', 'false', 'null', 'é', 'word', '▁word', '\n'],
  { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
);

export const sizeOf = (tokenizer: object): number => Object.keys((tokenizer as { model: { vocab: object } }).model.vocab).length;
