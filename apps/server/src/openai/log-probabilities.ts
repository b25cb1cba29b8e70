/** Log-probabilities in the two forms that OpenAI's API has for them. */
import type { TextEvent, TokenProbability } from '../host/protocol.js';

interface ChatToken {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
}

export interface ChatLogProbabilities {
  readonly content: readonly (ChatToken & { readonly top_logprobs: readonly ChatToken[] })[];
  readonly refusal: null;
}

/** Of chats. */
export function chatLogProbabilities(events: readonly TextEvent[]): ChatLogProbabilities {
  return { content: tokensOf(events).map((token) => ({ ...chatToken(token), top_logprobs: token.likeliest.map(chatToken) })), refusal: null };
}

export interface TextLogProbabilities {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  readonly text_offset: readonly number[];
}

/** Of completions; `offset` is where the text of the first token begins. */
export function textLogProbabilities(events: readonly TextEvent[], offset: number): TextLogProbabilities {
  const tokens = tokensOf(events);
  let at = offset;
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logProbability }) => logProbability),
    top_logprobs: tokens.map(({ likeliest }) => Object.fromEntries(likeliest.map(({ text, logProbability }) => [text, logProbability]))),
    text_offset: tokens.map(({ text }) => {
      const start = at;
      at += text.length;
      return start;
    }),
  };
}

function tokensOf(events: readonly TextEvent[]): readonly NonNullable<TextEvent['token']>[] {
  return events.flatMap(({ token }) => (token ? [token] : []));
}

function chatToken({ text, logProbability, bytes }: TokenProbability): ChatToken {
  return { token: text, logprob: logProbability, bytes };
}
