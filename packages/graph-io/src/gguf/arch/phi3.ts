/** Phi-3, 3.5 and 4 (mini). */
import type { JsonObject } from '../../hf/folder.js';
import type { GgufArchitecture } from '../architecture.js';
import type { GgufFields } from '../fields.js';
import { phi3Names } from '../names.js';

export const phi3: GgufArchitecture = {
  name: 'phi3', modelType: 'phi3', className: 'Phi3ForCausalLM', names: phi3Names, rotation: 'alike',
  config: (fields, { head_dim }) => ({
    hidden_act: 'silu',
    partial_rotary_factor: (fields.number('rope.dimension_count') ?? head_dim) / head_dim,
    original_max_position_embeddings: fields.number('rope.scaling.original_context_length') ?? fields.required('context_length'),
    ...windowOf(fields),
  }),
  writing: {
    partial: { field: 'partial_rotary_factor', value: 1 }, longrope: true, windows: true,
    pairs: (config) => [
      // 0 is none
      ['attention.sliding_window', 'u32', config.has('sliding_window') ? config.size('sliding_window') : 0],
      ['rope.scaling.original_context_length', 'u32', originalPositions(config.values)],
    ],
  },
};

/** The config says it beside or inside the rotary settings. */
function originalPositions(config: JsonObject): number {
  const settings = (config['rope_scaling'] ?? config['rope_parameters'] ?? {}) as JsonObject;
  const stated = config['original_max_position_embeddings'] ?? settings['original_max_position_embeddings'] ?? 4096;
  return typeof stated === 'number' ? stated : 4096;
}

/** A window as long as the context is none. */
function windowOf(fields: GgufFields): JsonObject {
  const window = fields.number('attention.sliding_window');
  return window === undefined || window === 0 || window >= fields.required('context_length') ? {} : { sliding_window: window };
}
