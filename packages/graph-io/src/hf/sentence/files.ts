/** What sentence-transformers reads beside a graph: its modules, their settings and weights. */
import type { FileLayout } from '../../layout.js';
import { copiedFile, jsonFile } from '../small-files.js';
import { readJsonObjects } from '../folder.js';
import type { HuggingFaceConfig } from '../open.js';
import { MODULES } from './modules.js';

/** Beside modules.json, and beside the network. */
const ROOT = ['config_sentence_transformers.json'];
const NETWORK = ['sentence_bert_config.json'];
/** In the folder of a module. */
const MODULE = ['config.json', 'model.safetensors', 'pytorch_model.bin'];

/** None for folders of other makers. A network that lay in a folder of its own lies beside the modules now. */
export async function sentenceFiles({ folder, files, modules }: HuggingFaceConfig): Promise<FileLayout[]> {
  if (!modules) return [];
  const { folder: root, transformer, steps } = modules;
  const around = await root.list();
  const inside = await Promise.all(steps.filter(({ path }) => path !== '').map(async ({ path }) => {
    const there = await root.list(path);
    return MODULE.filter((name) => there.includes(name)).map((name) => `${path}/${name}`);
  }));
  const moved = transformer.path === '' ? [] : NETWORK.filter((name) => files.includes(name)).map((name) => copiedFile({ folder }, name));
  const kept = [...ROOT, ...(transformer.path === '' ? NETWORK : [])].filter((name) => around.includes(name));
  return [
    transformer.path === '' ? await copiedFile({ folder: root }, MODULES) : jsonFile(MODULES, (await readJsonObjects(root, MODULES)).map((row, i) => (i === 0 ? { ...row, path: '' } : row))),
    ...(await Promise.all([...moved, ...[...kept, ...inside.flat()].map((name) => copiedFile({ folder: root }, name))])),
  ];
}
