/** OLMo 2 and 3: norms after the parts of a layer instead of before, queries and keys normalized over their whole width. */
import { decoder } from '../decoder/decoder.js';
import type { DecoderRow } from '../decoder/row.js';
import { windowsWhere } from '../decoder/windows.js';
import type { Fields } from '../fields.js';
import { flag } from '../settings.js';

const row = {
  modelType: 'olmo2',
  family: 'Olmo2',
  heads: ['classes'],
  norm: { epsilon: ['rms_norm_eps', 1e-5] },
  around: { attention: { after: 'post_attention_layernorm' }, mlp: { after: 'post_feedforward_layernorm' } },
  attention: { bias: flag('attention_bias', false), queryKey: { over: 'whole' } },
} as const satisfies DecoderRow;

export const olmo2 = decoder(row);

/** Three layers with a window to one without, whose rotation alone may be scaled. */
export const olmo3 = decoder({
  ...row,
  modelType: 'olmo3',
  family: 'Olmo3',
  rope: {
    theta: { field: 'rope_theta', value: 500_000 },
    settings: (config) => ropeOfKind(config, 'full_attention') ?? config.inside('rope_scaling') ?? null,
    near: { theta: { field: 'rope_theta', value: 500_000 }, settings: (config) => ropeOfKind(config, 'sliding_attention') ?? null },
  },
  attention: { ...row.attention, windows: windowsWhere((index) => (index + 1) % 4 !== 0, 4096) },
});

/** As transformers 5 keeps it. */
function ropeOfKind(config: Fields, kind: string): Fields | undefined {
  return config.inside('rope_parameters')?.inside(kind);
}
