/** What llama.cpp's architectures are in Hugging Face terms: config.json, names of tensors, and how their rows lie. */
import type { JsonObject } from '../hf/folder.js';
import type { GgufFields } from './fields.js';
import {
  gemma2Names, gemma3Names, type GgufNames, gpt2Names, gptNeoXNames, llamaNames, olmo2Names, phi3Names, qwen3Names,
} from './names.js';

export interface GgufArchitecture {
  /** `general.architecture`. */
  readonly name: string;
  readonly modelType: string;
  readonly className: string;
  readonly names: GgufNames;
  /** Fields beside the common ones; `common` are those. */
  readonly config?: (fields: GgufFields, common: CommonConfig) => JsonObject;
  /**
   * `pairs`: a rotation turns neighbouring rows, so the rows of queries and keys are rearranged; transformers, and
   * llama.cpp where it is `halves`, turn the first half of a head with the second.
   */
  readonly rotation: 'pairs' | 'halves' | 'none';
  /** Norms are stored with this added. */
  readonly normOffset?: number;
  /** Stems whose checkpoint tensors are (inputs, outputs): the Conv1D of GPT-2. */
  readonly turned?: readonly string[];
  /** `attn_qkv` lies by kind, the checkpoint has it by head. */
  readonly fusedByHead?: boolean;
}

/** What the configs of all architectures say. */
export interface CommonConfig {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly hasBias: (stem: string) => boolean;
}

/** Whether a layer has biases shows in its tensors. */
const biases = (_: GgufFields, { hasBias }: CommonConfig): JsonObject => ({ attention_bias: hasBias('attn_q'), mlp_bias: hasBias('ffn_gate') });

const llama: GgufArchitecture = {
  name: 'llama', modelType: 'llama', className: 'LlamaForCausalLM', names: llamaNames, rotation: 'pairs',
  config: (fields, common) => ({ hidden_act: 'silu', ...biases(fields, common) }),
};

const gemma: GgufArchitecture = {
  name: 'gemma', modelType: 'gemma', className: 'GemmaForCausalLM', names: llamaNames, rotation: 'halves', normOffset: 1,
  config: () => ({ hidden_activation: 'gelu_pytorch_tanh', hidden_act: 'gelu_pytorch_tanh' }),
};

/** llama.cpp knows the scale of the largest models by their number of layers: hidden / heads there, the head's width elsewhere. */
const queryScale = ({ hidden_size, num_attention_heads, num_hidden_layers, head_dim }: CommonConfig, largest: number): number =>
  num_hidden_layers === largest ? hidden_size / num_attention_heads : head_dim;

export const ggufArchitectures: readonly GgufArchitecture[] = [
  llama,
  { ...llama, name: 'smollm3', modelType: 'smollm3', className: 'SmolLM3ForCausalLM' },
  { name: 'qwen2', modelType: 'qwen2', className: 'Qwen2ForCausalLM', names: llamaNames, rotation: 'halves', config: () => ({ hidden_act: 'silu' }) },
  {
    name: 'qwen3', modelType: 'qwen3', className: 'Qwen3ForCausalLM', names: qwen3Names, rotation: 'halves',
    config: (_, { hasBias }) => ({ hidden_act: 'silu', attention_bias: hasBias('attn_q') }),
  },
  gemma,
  {
    ...gemma, name: 'gemma2', modelType: 'gemma2', className: 'Gemma2ForCausalLM', names: gemma2Names,
    config: (fields, common) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      attn_logit_softcapping: fields.number('attn_logit_softcapping') ?? 50,
      final_logit_softcapping: fields.number('final_logit_softcapping') ?? 30,
      query_pre_attn_scalar: queryScale(common, 46),
      sliding_window: fields.number('attention.sliding_window') ?? 4096,
    }),
  },
  {
    ...gemma, name: 'gemma3', modelType: 'gemma3_text', className: 'Gemma3ForCausalLM', names: gemma3Names,
    config: (fields, common) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: queryScale(common, 62),
      rope_theta: fields.number('rope.freq_base') ?? 1e6,
      rope_local_base_freq: fields.number('rope.freq_base_swa') ?? 1e4,
      sliding_window: fields.number('attention.sliding_window') ?? 4096,
      sliding_window_pattern: 6,
      ...(fields.has('final_logit_softcapping') && { final_logit_softcapping: fields.required('final_logit_softcapping') }),
    }),
  },
  {
    name: 'phi3', modelType: 'phi3', className: 'Phi3ForCausalLM', names: phi3Names, rotation: 'halves',
    config: (fields, { head_dim }) => ({
      hidden_act: 'silu',
      partial_rotary_factor: (fields.number('rope.dimension_count') ?? head_dim) / head_dim,
      original_max_position_embeddings: fields.number('rope.scaling.original_context_length') ?? fields.required('context_length'),
      ...windowOf(fields),
    }),
  },
  {
    name: 'olmo2', modelType: 'olmo2', className: 'Olmo2ForCausalLM', names: olmo2Names, rotation: 'halves',
    config: (_, { hasBias }) => ({ hidden_act: 'silu', attention_bias: hasBias('attn_q') }),
  },
  {
    name: 'gpt2', modelType: 'gpt2', className: 'GPT2LMHeadModel', names: gpt2Names, rotation: 'none',
    turned: ['attn_qkv', 'attn_output', 'ffn_up', 'ffn_down'],
    config: (fields) => ({
      activation_function: 'gelu_new',
      layer_norm_epsilon: fields.number('attention.layer_norm_epsilon') ?? 1e-5,
      n_inner: fields.required('feed_forward_length'),
    }),
  },
  {
    name: 'gptneox', modelType: 'gpt_neox', className: 'GPTNeoXForCausalLM', names: gptNeoXNames, rotation: 'halves', fusedByHead: true,
    config: (fields, { head_dim, hasBias }) => ({
      hidden_act: 'gelu',
      rotary_pct: (fields.number('rope.dimension_count') ?? head_dim) / head_dim,
      rotary_emb_base: fields.number('rope.freq_base') ?? 10_000,
      layer_norm_eps: fields.number('attention.layer_norm_epsilon') ?? 1e-5,
      use_parallel_residual: fields.flag('use_parallel_residual') ?? true,
      attention_bias: hasBias('attn_qkv'),
    }),
  },
];

/** A window as long as the context is none. */
function windowOf(fields: GgufFields): JsonObject {
  const window = fields.number('attention.sliding_window');
  return window === undefined || window === 0 || window >= fields.required('context_length') ? {} : { sliding_window: window };
}
