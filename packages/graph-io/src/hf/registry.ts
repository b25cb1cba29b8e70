/** Every architecture that converts. A new one is a file in `arch/` and a line here. */
import type { Architecture } from './architecture.js';
import { llama } from './arch/llama.js';

export const architectures: readonly Architecture[] = [llama];
