/** SmolLM3: Llama with layers whose queries and keys do not rotate. */
import { decoder } from '../decoder/decoder.js';
import { gated } from '../decoder/feed-forward.js';
import { windowsOnDemand, windowsWhere } from '../decoder/windows.js';
import type { Fields } from '../fields.js';
import { flag } from '../settings.js';

export const smollm3 = decoder({
  modelType: 'smollm3',
  family: 'SmolLM3',
  heads: ['classes', 'tokens', 'questions'],
  usual: { kvHeads: 4, maxPositions: 32_768 },
  tied: true,
  rope: { theta: { field: 'rope_theta', value: 2e6 } },
  attention: {
    bias: flag('attention_bias', false),
    rotated,
    // where there are any, windows go to the layers without rotation
    windows: windowsOnDemand(windowsWhere((index, config, layers) => !rotated(config, layers)(index))),
  },
  feedForward: gated({ bias: flag('mlp_bias', false) }),
});

/** As `no_rope_layers` says, in which 1 means that there is rope; all but every fourth where it says nothing. */
function rotated(config: Fields, layers: number): (index: number) => boolean {
  const interval = config.size('no_rope_layer_interval', 4);
  const isFlag = (item: unknown): item is number => item === 0 || item === 1;
  const listed = config.perLayer('no_rope_layers', layers, isFlag, 'ones and zeros');
  return (index) => (listed ? listed[index] === 1 : (index + 1) % interval !== 0);
}
