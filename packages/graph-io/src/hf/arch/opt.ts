/** OPT: learned positions that start at 2, layer norms before the parts of a layer or after them, narrow embeddings. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import type { Fields } from '../fields.js';
import { activation, flag } from '../settings.js';

const normsBefore = flag('do_layer_norm_before', true);
const bias = flag('enable_bias', true);

export const opt = decoder({
  modelType: 'opt',
  family: 'OPT',
  heads: ['classes', 'questions'],
  fields: { kvHeads: null, headDim: null },
  tied: true,
  names: {
    base: 'model.decoder',
    last: (config: Fields) => (normsBefore(config) && !config.boolean('_remove_final_layer_norm', false) ? 'final_layer_norm' : null),
  },
  only: { layer_norm_elementwise_affine: [true, 'layer norms without weights'] },
  embedding: { positions: { module: 'embed_positions', offset: 2, counting: 'real' }, narrow: { field: 'word_embed_proj_dim', into: 'project_in', outOf: 'project_out' } },
  norm: { kind: 'layer', epsilon: 1e-5 },
  around: (config) => {
    const place = normsBefore(config) ? 'before' : 'sum';
    return { attention: { [place]: 'self_attn_layer_norm' }, mlp: { [place]: 'final_layer_norm' } };
  },
  rope: null,
  attention: { bias, output: 'out_proj' },
  feedForward: plain({
    names: ['fc1', 'fc2'], module: null, bias,
    activation: activation('activation_function', 'relu'),
    intermediate: (config) => config.size('ffn_dim'),
  }),
});
