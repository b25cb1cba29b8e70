/** One line under an answer: how fast, how long, how it ended. */
import type { JSX } from 'preact';
import type { GenerationStats } from '../api/generation.js';
import { isTextKey, say, sayNumber } from '../text/text.js';

export function GenerationFacts({ stats, stopped }: { readonly stats: GenerationStats | undefined; readonly stopped: boolean }): JSX.Element | null {
  const { rate, tokens, firstMs, promptTokens, finish, servedBy } = stats ?? { tokens: 0 };
  const ending = `chat.finish.${finish}`;
  const facts = [
    rate !== undefined && say('chat.rate', { n: sayNumber(rate) }),
    tokens > 0 && say('chat.tokens', { n: tokens }),
    firstMs !== undefined && say('chat.first', { n: sayNumber(firstMs) }),
    promptTokens !== undefined && say('chat.prompt', { n: promptTokens }),
    stopped ? say('chat.stopped') : finish !== undefined && (isTextKey(ending) ? say(ending) : finish),
    servedBy !== undefined && say('chat.served', { name: servedBy }),
  ].filter((fact) => fact !== false);
  return facts.length > 0 ? (
    <p class="facts">
      {facts.map((fact) => (
        <span key={fact}>{fact}</span>
      ))}
    </p>
  ) : null;
}
