/** Every architecture that converts. A new one is a file in `arch/` and a line here. */
import type { Architecture } from './architecture.js';
import { albert } from './arch/albert.js';
import { bert } from './arch/bert.js';
import { clip, clipText, clipVision } from './arch/clip.js';
import { dinov2 } from './arch/dinov2.js';
import { distilbert } from './arch/distilbert.js';
import { electra } from './arch/electra.js';
import { llama } from './arch/llama.js';
import { modernbert } from './arch/modernbert.js';
import { mpnet } from './arch/mpnet.js';
import { camembert, roberta, xlmRoberta } from './arch/roberta.js';
import { deit, deitWithTeacher, vit } from './arch/vit.js';

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
  // encoders of pictures
  vit,
  deit,
  deitWithTeacher,
  dinov2,
  clip,
  clipText,
  clipVision,
];
