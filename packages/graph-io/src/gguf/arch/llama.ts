/** Llama and what llama.cpp takes for one (Mistral, Mixtral), SmolLM3, OLMo 2 and 3. */
import type { Fields } from '../../hf/fields.js';
import { attentionBias, type GgufArchitecture } from '../architecture.js';
import { llamaNames, mixtralNames, olmo2Names } from '../names.js';
import { layerTypes, onlyPeriod } from '../windows.js';

const attention = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];

export const llama: GgufArchitecture = {
  name: 'llama', modelType: 'llama', className: 'LlamaForCausalLM', names: llamaNames, rotation: 'rearranged',
  config: (fields, common) => ({ ...attentionBias(fields, common), mlp_bias: common.hasBias('ffn_gate') }),
  writing: { modelTypes: ['mistral'], biases: [...attention, 'ffn_gate', 'ffn_up', 'ffn_down'] },
};

export const mixtral: GgufArchitecture = {
  name: 'llama', modelType: 'mixtral', className: 'MixtralForCausalLM', names: mixtralNames, rotation: 'rearranged', experts: true,
  config: (fields) => ({
    hidden_act: 'silu', sliding_window: null,
    num_local_experts: fields.required('expert_count'), num_experts_per_tok: fields.required('expert_used_count'),
  }),
  writing: {
    pairs: (config) => [['expert_count', 'u32', config.size('num_local_experts', 8)], ['expert_used_count', 'u32', config.size('num_experts_per_tok', 2)]],
  },
};

/** llama.cpp knows which layers have no positions. */
const EVERY = 4;

export const smollm3: GgufArchitecture = {
  ...llama, name: 'smollm3', modelType: 'smollm3', className: 'SmolLM3ForCausalLM',
  writing: {
    pairs: (config, { layers }) => {
      const interval = config.size('no_rope_layer_interval', EVERY);
      const given = config.get('no_rope_layers');
      const usual = Array.from({ length: layers }, (_, i) => Number((i + 1) % EVERY !== 0));
      const own = Array.isArray(given) ? given : Array.from({ length: layers }, (_, i) => Number((i + 1) % interval !== 0));
      if (JSON.stringify(own) !== JSON.stringify(usual)) throw config.wrong('no_rope_layers', `0 in every ${EVERY}th layer: llama.cpp knows no other SmolLM3`);
      return [];
    },
  },
};

export const olmo2: GgufArchitecture = {
  name: 'olmo2', modelType: 'olmo2', className: 'Olmo2ForCausalLM', names: olmo2Names, rotation: 'alike', config: attentionBias, writing: {},
};

const PERIOD = 4;

/** llama.cpp knows it by its windows; its layers with one are rotated without scaling. */
export const olmo3: GgufArchitecture = {
  ...olmo2, modelType: 'olmo3', className: 'Olmo3ForCausalLM',
  variant: { title: 'windows', reads: (fields) => (fields.number('attention.sliding_window') ?? 0) > 0, writes: () => true },
  config: (fields, common) => ({
    ...attentionBias(fields, common), sliding_window: fields.required('attention.sliding_window'), ...layerTypes(fields, common.num_hidden_layers, PERIOD),
  }),
  writing: {
    windows: true,
    pairs: (config, { layers }) => {
      onlyPeriod(config, layers, PERIOD, 'OLMo 3');
      const [full, near] = ['full_attention', 'sliding_attention'].map((kind) => config.inside('rope_parameters')?.inside(kind));
      if (full && near?.get('rope_theta') !== full.get('rope_theta')) throw config.wrong('rope_parameters', 'of one rope_theta: llama.cpp knows no other OLMo 3');
      near?.only('rope_type', 'default', 'llama.cpp does not scale the rotation of layers with windows');
      return [['attention.sliding_window', 'u32', config.size('sliding_window', 4096)]];
    },
  },
};

/** Which fields say that every layer is a mixture, as llama.cpp takes it. */
export function sparseEverywhere(config: Fields): void {
  config.only('decoder_sparse_step', 1, 'llama.cpp knows only models with experts in all layers');
  const plain = config.get('mlp_only_layers');
  if (Array.isArray(plain) && plain.length > 0) throw config.wrong('mlp_only_layers', 'empty: llama.cpp knows only models with experts in all layers');
}
