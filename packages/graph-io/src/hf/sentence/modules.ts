/** `modules.json` of sentence-transformers: the steps from tokens to one embedding of a text. */
import { PenjingError } from '@penjing/core';
import { Fields } from '../fields.js';
import { type ModelFolder, readJsonObjects } from '../folder.js';

export const MODULES = 'modules.json';

export interface SentenceModule {
  /** The class without its package: `Pooling`. */
  readonly type: string;
  /** Its folder, `1_Pooling`; empty for the folder itself. */
  readonly path: string;
}

export interface SentenceModules {
  /** Where the paths start. */
  readonly folder: ModelFolder;
  /** The network that everything starts with. */
  readonly transformer: SentenceModule;
  /** What comes after it, in order. */
  readonly steps: readonly SentenceModule[];
}

/** The longest pipelines have five modules. */
const MAX_MODULES = 64;

/** The class of the network itself, by the version of sentence-transformers that wrote it. */
const TRANSFORMERS: ReadonlySet<string> = new Set(['Transformer', 'BERT', 'RoBERTa', 'DistilBERT', 'ALBERT', 'XLMRoBERTa', 'CamemBERT', 'T5', 'MLMTransformer']);

/**
 * Undefined when the file describes no network of Hugging Face first: static embeddings, pictures. Throws `E_CONFIG` when it is no list
 * of modules.
 */
export async function readSentenceModules(folder: ModelFolder): Promise<SentenceModules | undefined> {
  const rows = await readJsonObjects(folder, MODULES);
  if (rows.length > MAX_MODULES) throw new PenjingError('E_LIMIT', `${MODULES} lists ${rows.length} modules, more than ${MAX_MODULES}`);
  const modules = rows.map((row, i): SentenceModule => {
    const fields = new Fields(row, `${MODULES}: ${i}`);
    const [type, path] = [fields.get('type'), fields.get('path') ?? ''];
    if (typeof type !== 'string') throw fields.wrong('type', 'the name of a class');
    if (typeof path !== 'string') throw fields.wrong('path', 'the name of a folder');
    // older versions wrote the path with a slash at its end
    return { type: type.slice(type.lastIndexOf('.') + 1), path: path.replace(/\/+$/, '') };
  });
  const [transformer, ...steps] = modules;
  return transformer && TRANSFORMERS.has(transformer.type) ? { folder, transformer, steps } : undefined;
}

/** Whether the modules end in an embedding of a text; others rank pairs of texts, or weigh the words of a vocabulary. */
export function embedsSentences(modules: SentenceModules | undefined): boolean {
  return modules?.steps.some(({ type }) => type === 'Pooling') ?? false;
}
