/** SantaCoder and the first StarCoder: GPT-2 whose queries share one key and value. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import { activation } from '../settings.js';
import { gpt2Row } from './gpt2.js';

export const gptBigCode = decoder({
  ...gpt2Row,
  modelType: 'gpt_bigcode',
  family: 'GPTBigCode',
  heads: ['classes', 'tokens'],
  classNames: {},
  ignored: [/\.attn\.bias$/],
  kvHeads: (config, heads) => (config.boolean('multi_query', true) ? 1 : heads),
  attention: {
    bias: true,
    fused: { module: 'c_attn', order: 'groups' },
    output: 'c_proj',
    scale: (config, { headDim }) => (config.boolean('scale_attn_weights', true) ? headDim ** -0.5 : 1),
  },
  feedForward: plain({
    names: ['c_fc', 'c_proj'],
    activation: activation('activation_function', 'gelu_pytorch_tanh'),
    intermediate: (config, hidden) => config.size('n_inner', 4 * hidden),
  }),
});
