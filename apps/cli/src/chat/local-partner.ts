/** A model folder as the partner of a conversation. */
import type { Device } from '@penjing/runtime';
import type { Sampling } from '../sampling-options.js';
import type { Partner } from './partner.js';

export interface LocalPartnerOptions {
  readonly variant: string | undefined;
  readonly device: Device | undefined;
  readonly threads: number | undefined;
  readonly prefixCacheBytes?: number;
  readonly kvCache?: 'int8';
  readonly sampling: Sampling & { readonly seed: number | undefined };
  readonly signal: AbortSignal;
}

/** Throws `E_CHAT_TEMPLATE` at once for a model that knows no conversations. */
export async function localPartner(path: string, { sampling, ...options }: LocalPartnerOptions): Promise<Partner> {
  const { loadGenerator } = await import('@penjing/runtime');
  const generator = await loadGenerator(path, options);
  try {
    generator.chatPrompt([{ role: 'user', content: 'a' }]);
  } catch (error) {
    await generator[Symbol.asyncDispose]();
    throw error;
  }
  return {
    async reply(messages, { signal, onText }) {
      const { text, finishReason } = await generator.generate(generator.chatPrompt(messages.map((message) => ({ ...message }))), { ...sampling, signal, onText });
      return { text, finish: finishReason === 'length' ? 'length' : 'end' };
    },
    [Symbol.asyncDispose]: () => generator[Symbol.asyncDispose](),
  };
}
