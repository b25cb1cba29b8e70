/** Granite 3 and 4 (dense): Llama with multipliers for embeddings, scores, what layers add, and logits. */
import { decoder } from '../decoder/decoder.js';
import { gated } from '../decoder/feed-forward.js';
import { factor, flag } from '../settings.js';

export const granite = decoder({
  modelType: 'granite',
  family: 'Granite',
  embedding: { scale: factor('embedding_multiplier', 1) },
  attention: { bias: flag('attention_bias', false), scale: factor('attention_multiplier', 1) },
  feedForward: gated({ bias: flag('mlp_bias', false) }),
  residual: factor('residual_multiplier', 1),
  logits: { scale: (config) => 1 / config.positive('logits_scaling', 1) },
});
