/** Feeds of a converted decoder: random tokens after a random past. */
import { createRng, type DenseTensor, denseOf, type Feeds, type Model } from '@penjing/core';

export interface DecoderFeedsOptions {
  readonly batch?: number;
  readonly seq?: number;
  readonly past?: number;
  readonly vocab?: number;
}

export function decoderFeeds(model: Model, { batch = 1, seq = 3, past = 2, vocab = 96 }: DecoderFeedsOptions = {}): Feeds {
  const rng = createRng(5);
  const whole = (count: number, of: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => of(i));
  return Object.fromEntries(model.graph.inputs.map(({ name, type }): [string, DenseTensor] => {
    if (name === 'input_ids') return [name, denseOf('int64', [batch, seq], whole(batch * seq, () => rng.below(vocab)))];
    if (name === 'attention_mask') return [name, denseOf('int64', [batch, past + seq], whole(batch * (past + seq), () => 1))];
    if (name === 'position_ids') return [name, denseOf('int64', [batch, seq], whole(batch * seq, (i) => past + (i % seq)))];
    const [, heads, , size] = (type?.kind === 'tensor' ? type.shape : []) as readonly [string, number, string, number];
    return [name, denseOf('float32', [batch, heads, past, size], whole(batch * heads * past * size, () => rng.normal()))];
  }));
}
