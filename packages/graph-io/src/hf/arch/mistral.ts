/** Mistral: Llama with a window in every layer, unless `sliding_window` is null. */
import { decoder } from '../decoder/decoder.js';
import { sameWindow } from '../decoder/windows.js';

export const mistral = decoder({
  modelType: 'mistral',
  family: 'Mistral',
  heads: ['classes', 'tokens', 'questions'],
  usual: { kvHeads: 8, maxPositions: 131_072 },
  attention: { windows: sameWindow(4096) },
});
