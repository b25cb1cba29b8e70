/** OLMo 2: norms after the parts of a layer instead of before, queries and keys normalized over their whole width. */
import { decoder } from '../decoder/decoder.js';
import { flag } from '../settings.js';

export const olmo2 = decoder({
  modelType: 'olmo2',
  family: 'Olmo2',
  heads: ['classes'],
  norm: { epsilon: ['rms_norm_eps', 1e-5] },
  around: { attention: { after: 'post_attention_layernorm' }, mlp: { after: 'post_feedforward_layernorm' } },
  attention: { bias: flag('attention_bias', false), queryKey: { over: 'whole' } },
});
