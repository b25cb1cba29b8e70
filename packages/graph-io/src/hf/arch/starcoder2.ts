/** StarCoder2: Llama with layer norms, biases, and plain feed-forward layers. */
import { decoder } from '../decoder/decoder.js';
import { plain } from '../decoder/feed-forward.js';
import { sameWindow } from '../decoder/windows.js';
import { activation, flag } from '../settings.js';

const bias = flag('use_bias', true);

export const starcoder2 = decoder({
  modelType: 'starcoder2',
  family: 'Starcoder2',
  heads: ['classes', 'tokens'],
  usual: { kvHeads: 2, maxPositions: 4096 },
  tied: true,
  norm: { kind: 'layer', epsilon: ['norm_epsilon', 1e-5] },
  attention: { bias, windows: sameWindow() },
  feedForward: plain({ names: ['c_fc', 'c_proj'], activation: activation('hidden_act', 'gelu_pytorch_tanh'), bias }),
});
