/** Every architecture that converts. A new one is a file in `arch/` and a line here. */
import type { Architecture } from './architecture.js';
import { bert } from './arch/bert.js';
import { distilbert } from './arch/distilbert.js';
import { llama } from './arch/llama.js';
import { mpnet } from './arch/mpnet.js';
import { camembert, roberta, xlmRoberta } from './arch/roberta.js';

export const architectures: readonly Architecture[] = [
  llama,
  // encoders of text
  bert,
  roberta,
  xlmRoberta,
  camembert,
  distilbert,
  mpnet,
];
