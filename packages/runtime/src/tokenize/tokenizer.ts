/** Text to token ids and back, from a Hugging Face tokenizer.json, on the library that transformers.js uses. */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { PenjingError } from '@penjing/core';
import { type ChatMessage, type ChatTemplateOptions, type ChatTemplates, chatTemplates } from './chat-template.js';
import { type Completable, completeLibrary } from './complete-library.js';
import { encodeInput, type EncodedInput, type EncodeInputsOptions, type InputEncoder, type TextInput } from './encode-inputs.js';
import { type StreamDecoder, createStreamDecoder } from './stream-decoder.js';
import { type Span, tokenSpans } from './token-spans.js';
import { withDeadline } from './with-deadline.js';

export interface EncodeOptions {
  /** Whether the tokens of the tokenizer's template (`<s>` and the like) are added; true when absent. */
  readonly specialTokens?: boolean;
}

export interface DecodeOptions {
  /** Whether special tokens are left out of the text; true when absent. */
  readonly skipSpecialTokens?: boolean;
}

export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: object;
  /** tokenizer_config.json over special_tokens_map.json; empty when there is neither. */
  readonly config: Readonly<Record<string, unknown>>;
  /** chat_template.jinja or chat_template.json, where newer folders keep the template. */
  readonly template?: string;
}

export interface Tokenizer {
  /** One more than the largest token id. */
  readonly vocabSize: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly hasChatTemplate: boolean;
  /** Longest text in tokens that the tokenizer's configuration allows, when it says so. */
  readonly maxLength: number | undefined;
  /** What fills texts up to one length, and at which side. 0 when the folder names no token for it: whoever masks it reads none. */
  readonly padding: { readonly id: number; readonly side: 'left' | 'right' };
  /** The token that stands for one to be guessed. */
  readonly maskToken: string | undefined;
  /** The token that stands for the whole of a text. */
  readonly classToken: string | undefined;
  /** What a token within a word begins with (`##`); empty where tokens do not tell. */
  readonly continuingPrefix: string;
  readonly unknownToken: string | undefined;
  /** Inputs that its models read, where the folder says so: not all that have token types were trained with them. */
  readonly inputNames: readonly string[] | undefined;
  encode(text: string, options?: EncodeOptions): number[];
  /** Texts and pairs of texts as encoders read them. Throws `E_INPUT` naming a text that is too long. */
  encodeInputs(inputs: readonly TextInput[], options?: EncodeInputsOptions): EncodedInput[];
  /** Where `tokens`, all of a text without those of the template, lie in it. Throws `E_TOKENIZER` where that cannot be told. */
  spans(text: string, tokens: readonly string[]): Span[];
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** Decodes token by token and holds back incomplete characters; `context` are tokens that came before. */
  stream(context?: readonly number[]): StreamDecoder;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** The prompt of a conversation. Throws `E_CHAT_TEMPLATE` when the folder has no template. */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
}

export interface TokenizerLimits {
  /** What any text may take. */
  readonly milliseconds: number;
  /** And for each of its characters; honest tokenizers need some 0.005. */
  readonly millisecondsPerCharacter: number;
}

// The patterns of a tokenizer.json are somebody's regular expressions, and they run on the calling thread.
const LIMITS: TokenizerLimits = { milliseconds: 10_000, millisecondsPerCharacter: 0.2 };

/** Builds a tokenizer from the parsed files of a model folder. */
export function createTokenizer({ tokenizer, config, template }: TokenizerFiles, limits: TokenizerLimits = LIMITS): Tokenizer {
  const library = openLibrary(tokenizer, config);
  const special = specialTokens(config);
  const templates: ChatTemplates = chatTemplates(template ?? config['chat_template'], special);
  let vocabSize = 0;
  for (const id of library.get_vocab(true).values()) vocabSize = Math.max(vocabSize, id + 1);

  const allowed = (length: number): number => limits.milliseconds + length * limits.millisecondsPerCharacter;
  // Streams decode token by token, so only decoders that have patterns pay for the limit.
  const patterned = (JSON.stringify((tokenizer as { decoder?: unknown }).decoder) ?? '').includes('"Regex"');

  const decode = (ids: readonly number[], { skipSpecialTokens = true }: DecodeOptions = {}): string => {
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new PenjingError('E_INPUT', `${id} is not a token id; this vocabulary has ${vocabSize}`);
      }
    }
    if (ids.length === 0) return '';
    // The clean-up of spaces that old configurations ask for would lose what the model wrote.
    const run = (): string => library.decode([...ids], { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false });
    return patterned ? withDeadline(allowed(ids.length * 8), 'decoding', run) : run();
  };
  const { model_max_length: maxLength, model_input_names: inputNames } = config;
  const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = library.model.config;
  const continuingPrefix = typeof prefix === 'string' ? prefix : '';
  const spanLibrary = {
    normalizer: library.normalizer && ((text: string) => library.normalizer!.normalize(text)),
    byteLevel: /"type":"ByteLevel"/.test(JSON.stringify([(tokenizer as { pre_tokenizer?: unknown }).pre_tokenizer, (tokenizer as { decoder?: unknown }).decoder])),
    unknownToken: library.model.unk_token,
    isAdded: (token: string) => library.added_tokens_map.has(token),
    continuingPrefix,
    endOfWord: typeof suffix === 'string' ? suffix : '',
  };
  const padId = special['pad_token'] === undefined ? undefined : library.token_to_id(special['pad_token']);
  const sideOf = (name: string): 'left' | 'right' => (config[name] === 'left' ? 'left' : 'right');
  return {
    vocabSize,
    bosToken: special['bos_token'],
    eosToken: special['eos_token'],
    hasChatTemplate: templates.available,
    padding: { id: padId ?? 0, side: sideOf('padding_side') },
    maskToken: special['mask_token'],
    classToken: special['cls_token'],
    continuingPrefix,
    unknownToken: library.model.unk_token,
    inputNames: Array.isArray(inputNames) ? inputNames.map(String) : undefined,
    // Transformers writes 1e30 for "not known".
    maxLength: typeof maxLength === 'number' && maxLength < 1e9 ? maxLength : undefined,
    encode: (text, { specialTokens: add = true } = {}) =>
      withDeadline(allowed(text.length), `tokenizing ${text.length} characters`, () => library.encode(text, { add_special_tokens: add }).ids),
    encodeInputs(inputs, options = {}) {
      const characters = inputs.reduce((sum, input) => sum + (typeof input === 'string' ? input.length : String(input?.text).length + String(input?.pair).length), 0);
      return withDeadline(allowed(characters), `tokenizing ${characters} characters`, () => inputs.map((input, i) => encodeInput(library, input, sideOf('truncation_side'), i, options)));
    },
    spans: (text, tokens) => withDeadline(allowed(text.length), `following ${text.length} characters`, () => tokenSpans(spanLibrary, text, tokens)),
    decode,
    // Many a model scores more words than its tokenizer has, to a round number: one of these in the midst of a text says nothing, and does not end it.
    stream: (context = []) => createStreamDecoder((ids) => decode(ids.filter((id) => id < vocabSize)), context),
    idOf: (token) => library.token_to_id(token),
    tokenOf: (id) => library.id_to_token(id),
    applyChatTemplate: (messages, options) => withDeadline(limits.milliseconds, 'the chat template', () => templates.apply(messages, options)),
  };
}

/** What is used of the library; its own declarations do not resolve under Node's module rules. */
interface LibraryTokenizer extends Completable, InputEncoder {
  readonly added_tokens_map: ReadonlyMap<string, unknown>;
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  id_to_token(id: number): string | undefined;
  get_vocab(withAdded: boolean): Map<string, number>;
}

type LibraryConstructor = new (tokenizer: object, config: object) => LibraryTokenizer;

function openLibrary(tokenizer: object, config: object): LibraryTokenizer {
  try {
    const library = new (Library as unknown as LibraryConstructor)(tokenizer, config);
    completeLibrary(library);
    return library;
  } catch (cause) {
    if (cause instanceof PenjingError) throw cause;
    throw new PenjingError('E_TOKENIZER', `tokenizer.json cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      hint: 'Save the tokenizer again with a current version of transformers (`tokenizer.save_pretrained`).',
    });
  }
}

/** `bos_token` and its kin by name; a token is a string or an AddedToken object. */
function specialTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue;
    const text = typeof value === 'object' && value !== null && 'content' in value ? value.content : value;
    if (typeof text === 'string') found[name] = text;
  }
  return found;
}
