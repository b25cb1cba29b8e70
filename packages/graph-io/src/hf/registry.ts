/** Every architecture that converts. A new one is a file in `arch/` and a line here. */
import type { Architecture } from './architecture.js';
import { albert } from './arch/albert.js';
import { bert } from './arch/bert.js';
import { distilbert } from './arch/distilbert.js';
import { electra } from './arch/electra.js';
import { llama } from './arch/llama.js';
import { modernbert } from './arch/modernbert.js';
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
  modernbert,
  electra,
  albert,
];
