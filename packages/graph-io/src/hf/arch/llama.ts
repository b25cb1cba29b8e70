/** Llama 1 to 3.3 and everything that is a Llama by another name. */
import { decoder } from '../decoder/decoder.js';
import { gated } from '../decoder/feed-forward.js';
import { flag } from '../settings.js';

export const llama = decoder({
  modelType: 'llama',
  family: 'Llama',
  heads: ['classes', 'tokens', 'questions'],
  alsoNamed: ['LLaMAForCausalLM'], // as the first published conversions spelled it
  attention: { bias: flag('attention_bias', false) },
  feedForward: gated({ bias: flag('mlp_bias', false) }),
});
