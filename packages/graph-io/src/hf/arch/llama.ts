/** Llama 1 to 3.3 and everything that is a Llama by another name. */
import type { Architecture } from '../architecture.js';
import { type ActivationName, activations } from '../blocks/activation.js';
import { causalAttention, type KeyValue, selfAttention } from '../blocks/attention.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { gatedMlp } from '../blocks/mlp.js';
import { rmsNorm } from '../blocks/norm.js';
import { decoderInputs, decoderOutputs } from '../decoder-ports.js';
import { type Fields, MAX_HEAD_DIM, MAX_LAYERS } from '../fields.js';
import { readRope } from '../rope.js';

export const llama: Architecture = {
  modelType: 'llama',
  // the second is how the first published conversions spelled it
  classes: { LlamaForCausalLM: 'text-generation', LLaMAForCausalLM: 'text-generation' },
  tied: { table: 'model.embed_tokens.weight', head: 'lm_head.weight', byDefault: false },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],

  clientConfig: (config) => ({ num_key_value_heads: config.size('num_attention_heads') }),

  build(net, config) {
    const { layers, vocabulary, hidden, epsilon, attention, mlp, rope } = read(config);
    const cache = { layers, kvHeads: attention.kvHeads, headDim: attention.headDim };
    const { ids, mask, positions, past } = decoderInputs(net, cache);
    const present: KeyValue[] = [];

    const { table, last } = net.module('model', () => {
      const { table, hidden: embedded } = embedding(net, 'embed_tokens', ids, { vocabulary, hidden });
      const attend = causalAttention(net, { mask, positions }, attention, rope);
      let x = embedded; // (batch, seq, hidden)
      for (let i = 0; i < layers; i++) {
        x = net.module(`layers.${i}`, () => {
          const normed = rmsNorm(net, 'input_layernorm', x, hidden, epsilon);
          const attended = selfAttention(net, 'self_attn', normed, { attend, past: past[i]!, shape: attention });
          present.push(attended.present);
          const middle = net.op('Add', [x, attended.output]);
          const fed = gatedMlp(net, 'mlp', rmsNorm(net, 'post_attention_layernorm', middle, hidden, epsilon), mlp);
          return net.op('Add', [middle, fed]);
        });
      }
      return { table, last: rmsNorm(net, 'norm', x, hidden, epsilon) };
    });

    const logits = languageHead(net, 'lm_head', last, { vocabulary, hidden }, net.tied ? table : undefined);
    decoderOutputs(net, cache, { logits, vocabulary, present });
  },
};

/** The fields of LlamaConfig that matter here, with its defaults. */
function read(config: Fields) {
  const hidden = config.size('hidden_size');
  const heads = config.size('num_attention_heads');
  const kvHeads = config.size('num_key_value_heads', heads);
  const headDim = config.size('head_dim', Math.max(1, Math.floor(hidden / heads)), MAX_HEAD_DIM);
  if (heads % kvHeads !== 0) throw config.wrong('num_key_value_heads', `a divisor of num_attention_heads ${heads}`);
  if (!config.has('head_dim') && hidden % heads !== 0) throw config.wrong('hidden_size', `a multiple of num_attention_heads ${heads}`);
  const activation: ActivationName = config.choice('hidden_act', activations, 'silu');
  return {
    hidden,
    layers: config.size('num_hidden_layers', undefined, MAX_LAYERS),
    vocabulary: config.size('vocab_size'),
    epsilon: config.positive('rms_norm_eps', 1e-6),
    rope: readRope(config, { dim: headDim, maxPositions: config.size('max_position_embeddings', 2048) }),
    attention: { hidden, heads, kvHeads, headDim, scale: headDim ** -0.5, bias: config.boolean('attention_bias', false) },
    mlp: { hidden, intermediate: config.size('intermediate_size'), activation, bias: config.boolean('mlp_bias', false) },
  };
}
