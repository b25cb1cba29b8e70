/** Every layout of a model folder. A new one is a file here and a line. */
import type { FolderLayout } from './folder-layout.js';
import { genaiLayout } from './genai.js';
import { plainLayout } from './plain.js';
import { transformersJsLayout } from './transformers-js.js';

export const layouts = {
  'transformers.js': transformersJsLayout,
  genai: genaiLayout,
  plain: plainLayout,
} as const satisfies Record<string, FolderLayout>;

export type LayoutName = keyof typeof layouts;
