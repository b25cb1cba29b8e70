/** Command R, R+, R7B and Aya: both parts of a layer side by side behind one layer norm, neighbouring columns rotated. */
import { decoder } from '../decoder/decoder.js';
import type { DecoderRow } from '../decoder/row.js';
import { windowsWhere } from '../decoder/windows.js';
import { factor, flag } from '../settings.js';

const row = {
  modelType: 'cohere',
  family: 'Cohere',
  usual: { maxPositions: 8192 },
  tied: true,
  norm: { kind: 'layer', epsilon: ['layer_norm_eps', 1e-5], bias: false },
  around: { attention: { before: 'input_layernorm' }, mlp: { before: 'input_layernorm' } },
  parallel: true,
  rope: { theta: { field: 'rope_theta', value: 500_000 }, interleaved: true },
  attention: {
    bias: flag('attention_bias', false),
    queryKey: (config) => (config.boolean('use_qk_norm', false) ? { over: 'each' } : undefined),
  },
  logits: { scale: factor('logit_scale', 0.0625) },
} as const satisfies DecoderRow;

export const cohere = decoder(row);

/** Three layers with a window to one that sees all and has no places. */
export const cohere2 = decoder({
  ...row,
  modelType: 'cohere2',
  family: 'Cohere2',
  fields: { headDim: null },
  rope: { theta: { field: 'rope_theta', value: 10_000 }, interleaved: true },
  attention: {
    bias: flag('attention_bias', false),
    windows: windowsWhere((index, config) => (index + 1) % config.size('sliding_window_pattern', 4) !== 0, 4096),
    rotated: () => (_, window) => window !== undefined,
  },
});
