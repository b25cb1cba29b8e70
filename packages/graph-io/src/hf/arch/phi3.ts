/** Phi-3, 3.5 and 4 (mini): projections fused in one module, longrope, and heads rotated in part. */
import { decoder } from '../decoder/decoder.js';
import { gated } from '../decoder/feed-forward.js';
import { sameWindow } from '../decoder/windows.js';

export const phi3 = decoder({
  modelType: 'phi3',
  family: 'Phi3',
  heads: ['classes', 'tokens'],
  usual: { maxPositions: 4096 },
  norm: { epsilon: ['rms_norm_eps', 1e-5] },
  rope: {
    originalPositions: 4096,
    partial: { field: 'partial_rotary_factor', value: 1 },
    aliases: { su: 'longrope', yarn: 'longrope' }, // the first two names that longrope had
  },
  attention: { windows: sameWindow(), fused: { module: 'qkv_proj', order: 'blocks' } },
  feedForward: gated({ fused: 'gate_up_proj' }),
});
