/** Qwen 2 and 3, with and without experts. */
import type { Fields } from '../../hf/fields.js';
import type { JsonObject } from '../../hf/folder.js';
import { attentionBias, type GgufArchitecture } from '../architecture.js';
import type { GgufFields } from '../fields.js';
import { llamaNames, qwen2MoeNames, qwen3MoeNames, qwen3Names } from '../names.js';
import type { GgufPair } from '../write-pairs.js';
import { sparseEverywhere } from './llama.js';

const inputs = ['attn_q', 'attn_k', 'attn_v'];

export const qwen2: GgufArchitecture = {
  name: 'qwen2', modelType: 'qwen2', className: 'Qwen2ForCausalLM', names: llamaNames, rotation: 'alike',
  config: () => ({ hidden_act: 'silu' }),
  writing: { biases: inputs, needed: inputs },
};

export const qwen3: GgufArchitecture = {
  name: 'qwen3', modelType: 'qwen3', className: 'Qwen3ForCausalLM', names: qwen3Names, rotation: 'alike', config: attentionBias, writing: {},
};

const mixture = (fields: GgufFields): JsonObject => ({
  num_experts: fields.required('expert_count'),
  num_experts_per_tok: fields.required('expert_used_count'),
  moe_intermediate_size: fields.required('expert_feed_forward_length'),
  decoder_sparse_step: 1,
  mlp_only_layers: [],
});

/** transformers 5 renamed the field. */
const mixturePairs = (config: Fields, usual: { readonly experts: number; readonly perToken: number; readonly width: number }): GgufPair[] => [
  ['expert_count', 'u32', config.size(config.has('num_experts') ? 'num_experts' : 'num_local_experts', usual.experts)],
  ['expert_used_count', 'u32', config.size('num_experts_per_tok', usual.perToken)],
  ['expert_feed_forward_length', 'u32', config.size('moe_intermediate_size', usual.width)],
];

export const qwen2Moe: GgufArchitecture = {
  name: 'qwen2moe', modelType: 'qwen2_moe', className: 'Qwen2MoeForCausalLM', names: qwen2MoeNames, rotation: 'alike', experts: true,
  config: (fields, { hasBias }) => ({
    hidden_act: 'silu', qkv_bias: hasBias('attn_q'), norm_topk_prob: fields.flag('expert_weights_norm') ?? false,
    shared_expert_intermediate_size: fields.required('expert_shared_feed_forward_length'), ...mixture(fields),
  }),
  writing: {
    biases: inputs, needed: inputs,
    pairs: (config) => {
      sparseEverywhere(config);
      config.only('norm_topk_prob', false, 'llama.cpp takes the shares of this architecture as they are');
      return [
        ...mixturePairs(config, { experts: 60, perToken: 4, width: 1408 }),
        ['expert_shared_feed_forward_length', 'u32', config.size('shared_expert_intermediate_size', 5632)],
      ];
    },
  },
};

export const qwen3Moe: GgufArchitecture = {
  name: 'qwen3moe', modelType: 'qwen3_moe', className: 'Qwen3MoeForCausalLM', names: qwen3MoeNames, rotation: 'alike', experts: true,
  config: (fields, common) => ({ ...attentionBias(fields, common), norm_topk_prob: fields.flag('expert_weights_norm') ?? true, ...mixture(fields) }),
  writing: {
    pairs: (config) => {
      sparseEverywhere(config);
      if (!config.boolean('norm_topk_prob', false)) throw config.wrong('norm_topk_prob', 'true: llama.cpp always scales the shares of this architecture to a sum of 1');
      return mixturePairs(config, { experts: 128, perToken: 8, width: 768 });
    },
  },
};
