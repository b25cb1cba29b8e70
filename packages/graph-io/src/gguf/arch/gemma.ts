/** Gemma 1 to 3: norms stored with 1 added, a head that is the embedding table. */
import { slidingLayers } from '../../hf/decoder/windows.js';
import type { Fields } from '../../hf/fields.js';
import type { CommonConfig, GgufArchitecture, WrittenSizes } from '../architecture.js';
import { gemma2Names, gemma3Names, llamaNames } from '../names.js';
import { layerTypes, onlyPeriod } from '../windows.js';

const approximated = ['gelu_pytorch_tanh', 'gelu_new'];
const activation = { field: 'hidden_activation', names: approximated };

export const gemma: GgufArchitecture = {
  name: 'gemma', modelType: 'gemma', className: 'GemmaForCausalLM', names: llamaNames, rotation: 'alike', normOffset: 1,
  config: () => ({ hidden_activation: 'gelu_pytorch_tanh', hidden_act: 'gelu_pytorch_tanh' }),
  writing: {
    tiedOnly: true,
    // old files say gelu and mean its approximation
    activation: { field: 'hidden_act', names: [...approximated, 'gelu'] },
  },
};

/** llama.cpp knows the scale of the largest models by their number of layers: hidden / heads there, the head's width elsewhere. */
const queryScale = ({ hidden_size, num_attention_heads, num_hidden_layers, head_dim }: Omit<CommonConfig, 'has' | 'hasBias' | 'num_key_value_heads'>, largest: number): number =>
  num_hidden_layers === largest ? hidden_size / num_attention_heads : head_dim;

function checkScale(config: Fields, { hidden, heads, layers, headDim }: WrittenSizes, largest: number): void {
  const wanted = queryScale({ hidden_size: hidden, num_attention_heads: heads, num_hidden_layers: layers, head_dim: headDim }, largest);
  if (config.positive('query_pre_attn_scalar', 256) !== wanted) throw config.wrong('query_pre_attn_scalar', `${wanted}: llama.cpp knows no other`);
}

export const gemma2: GgufArchitecture = {
  ...gemma, name: 'gemma2', modelType: 'gemma2', className: 'Gemma2ForCausalLM', names: gemma2Names,
  config: (fields, common) => ({
    hidden_activation: 'gelu_pytorch_tanh',
    attn_logit_softcapping: fields.number('attn_logit_softcapping') ?? 50,
    final_logit_softcapping: fields.number('final_logit_softcapping') ?? 30,
    query_pre_attn_scalar: queryScale(common, 46),
    sliding_window: fields.number('attention.sliding_window') ?? 4096,
  }),
  writing: {
    tiedOnly: true, activation, windows: true,
    pairs: (config, sizes) => {
      checkScale(config, sizes, 46);
      if (slidingLayers(config, sizes.layers, (i) => i % 2 === 0).some((near, i) => near !== (i % 2 === 0))) {
        throw config.wrong('layer_types', 'a window in every second layer, the first included: llama.cpp knows no other Gemma 2');
      }
      // null is no cap, which llama.cpp has no word for
      const cap = (name: string, usual: number): number => {
        const value = config.nullable(name, (field) => config.positive(field), usual);
        if (value === undefined) throw config.wrong(name, 'a number above 0: llama.cpp always caps');
        return value;
      };
      return [
        ['attn_logit_softcapping', 'f32', cap('attn_logit_softcapping', 50)],
        ['final_logit_softcapping', 'f32', cap('final_logit_softcapping', 30)],
        ['attention.sliding_window', 'u32', config.size('sliding_window', 4096)],
      ];
    },
  },
};

export const gemma3: GgufArchitecture = {
  ...gemma, name: 'gemma3', modelType: 'gemma3_text', className: 'Gemma3ForCausalLM', names: gemma3Names,
  config: (fields, common) => ({
    hidden_activation: 'gelu_pytorch_tanh',
    query_pre_attn_scalar: queryScale(common, 62),
    rope_theta: fields.number('rope.freq_base') ?? 1e6,
    rope_local_base_freq: fields.number('rope.freq_base_swa') ?? 1e4,
    sliding_window: fields.number('attention.sliding_window') ?? 4096,
    ...layerTypes(fields, common.num_hidden_layers, PERIOD),
    ...(fields.has('final_logit_softcapping') && { final_logit_softcapping: fields.required('final_logit_softcapping') }),
  }),
  writing: {
    activation, windows: true,
    pairs: (config, sizes) => {
      checkScale(config, sizes, 62);
      config.only('attn_logit_softcapping', null, 'llama.cpp caps no scores of this architecture');
      onlyPeriod(config, sizes.layers, PERIOD, 'Gemma 3', config.size('sliding_window_pattern', PERIOD));
      const byKind = config.inside('rope_parameters');
      const local = byKind?.inside('sliding_attention') ?? config;
      return [
        ['rope.freq_base_swa', 'f32', local.has('rope_theta') && byKind ? local.positive('rope_theta') : config.positive('rope_local_base_freq', 1e4)],
        ['attention.sliding_window', 'u32', config.size('sliding_window', 4096)],
        ...(config.has('final_logit_softcapping') ? [['final_logit_softcapping', 'f32', config.positive('final_logit_softcapping')] as const] : []),
      ];
    },
  },
};

const PERIOD = 6;
