/** Mixtral: Mistral whose feed-forward layers are mixtures of experts. */
import { decoder } from '../decoder/decoder.js';
import { experts } from '../decoder/feed-forward.js';
import { sameWindow } from '../decoder/windows.js';

export const mixtral = decoder({
  modelType: 'mixtral',
  family: 'Mixtral',
  heads: ['classes', 'tokens', 'questions'],
  usual: { kvHeads: 8, maxPositions: 131_072 },
  norm: { epsilon: ['rms_norm_eps', 1e-5] },
  rope: { theta: { field: 'rope_theta', value: 1e6 } },
  attention: { windows: sameWindow() },
  feedForward: experts({
    module: 'block_sparse_moe',
    count: ['num_local_experts'],
    usual: { experts: 8, perToken: 2 },
    intermediate: 'intermediate_size',
    normalized: true,
    names: { gate: 'w1', up: 'w3', down: 'w2' },
  }),
});
