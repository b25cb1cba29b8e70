/** Where models come from: those that were named at the start, and the folders of a repository. */
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve, sep } from 'node:path';
import { PenjingError } from '@penjing/core';
import { FLOW_FILE, flowFileAt, modelsOf, readFlow } from '../flow/flow-file.js';
import { issuesOf } from '../config/read-config.js';
import { MODEL_NAME, type ModelEntry, type ModelOptions, modelOptionsSchema } from '../config/schema.js';

export interface FoundModel {
  readonly name: string;
  /** Why it cannot be served, of one that is only listed. */
  readonly problem?: string;
  /** Those that are to be served, the oldest first. */
  readonly versions: readonly { readonly version: string; readonly path: string }[];
  readonly options: ModelOptions;
}

/** A place with models on it; it is looked at anew each time. */
export interface ModelShelf {
  /** Those that cannot be read are there too, with their problem and without versions. */
  list(): Promise<readonly FoundModel[]>;
  /** Throws what is wrong with the model. */
  find(name: string): Promise<FoundModel | undefined>;
}

/** Models given by their paths. Throws `E_CONFIG` for two of one name, or a name that cannot be one. */
export function namedShelf(entries: readonly ModelEntry[]): ModelShelf {
  const models = new Map<string, FoundModel>();
  for (const { name: given, path, ...options } of entries) {
    const name = given ?? nameOf(path);
    if (!MODEL_NAME.test(name)) throw new PenjingError('E_CONFIG', `${path} gives no name for a model`, { hint: 'Name it: name=path, of letters, digits and . _ -' });
    if (models.has(name)) throw new PenjingError('E_CONFIG', `two models are called ${name}`, { hint: 'Name them: name=path.' });
    models.set(name, { name, versions: [{ version: '1', path: resolve(path) }], options: withPaths(options, (other) => resolve(other)) });
  }
  return { list: async () => [...models.values()], find: async (name) => models.get(name) };
}

const CONFIG = 'serve.json';
const VERSION = /^[1-9][0-9]{0,15}$/;

/** A folder of folders: `NAME/serve.json` (optional) and `NAME/1`, `NAME/2`, … or the model itself in `NAME`. */
export function folderShelf(root: string): ModelShelf {
  const find = async (name: string): Promise<FoundModel | undefined> => {
    const folder = join(root, name);
    if (!MODEL_NAME.test(name) || name.startsWith('.') || !(await isFolder(folder))) return undefined;
    await contained(root, folder);
    const config = join(folder, CONFIG);
    const options = withPaths(await readOptions(config), (other) => join(root, other));
    for (const path of pathsOf(options)) await contained(root, path).catch((cause: unknown) => {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
      throw new PenjingError('E_CONFIG', `${config} names ${path}, which does not exist`, { hint: 'Paths of ladders and plans begin at the folder of the repository.', cause });
    });
    const numbers = (await readdir(folder)).filter((entry) => VERSION.test(entry)).sort((a, b) => Number(a) - Number(b));
    if (numbers.length === 0) {
      await flowContained(root, folder);
      return { name, versions: [{ version: '1', path: folder }], options };
    }
    const versions = numbers.slice(-options.versions).map((version) => ({ version, path: join(folder, version) }));
    for (const { path } of versions) {
      await contained(folder, path);
      await flowContained(root, path);
    }
    return { name, versions, options };
  };
  return {
    find,
    async list() {
      const names = await readdir(root).catch((cause: unknown) => {
        throw new PenjingError('E_NOT_FOUND', `the repository ${root} cannot be read`, { cause });
      });
      // One that is broken must not hide the others.
      const found = await Promise.all(names.sort().map((name) => find(name).catch((error: unknown): FoundModel => ({
        name, problem: error instanceof Error ? error.message : String(error), versions: [], options: modelOptionsSchema.parse({}),
      }))));
      return found.filter((model) => model !== undefined);
    },
  };
}

/** The first shelf that has a model of a name has it. */
export function shelves(all: readonly ModelShelf[]): ModelShelf {
  const find = async (name: string): Promise<FoundModel | undefined> => {
    for (const shelf of all) {
      const found = await shelf.find(name);
      if (found) return found;
    }
    return undefined;
  };
  return {
    find,
    async list() {
      const models = new Map<string, FoundModel>();
      for (const shelf of all) for (const model of await shelf.list()) if (!models.has(model.name)) models.set(model.name, model);
      return [...models.values()];
    },
  };
}

/** Students lie in other folders, and plans are files. */
function withPaths(options: ModelOptions, absolute: (path: string) => string): ModelOptions {
  const { ladder, plan, stages } = options;
  return {
    ...options,
    ladder: ladder.map((rung) => ({ ...rung, ...(rung.path !== undefined && { path: absolute(rung.path) }) })),
    ...(plan !== undefined && { plan: absolute(plan) }),
    ...(stages && { stages: { ...stages, plan: absolute(stages.plan) } }),
  };
}

/** All that `withPaths` makes absolute. */
function pathsOf({ ladder, plan, stages }: ModelOptions): string[] {
  return [...ladder.map(({ path }) => path), plan, stages?.plan].filter((path) => path !== undefined);
}

/** Neither a link nor `..` leads out of the repository. */
async function contained(parent: string, path: string): Promise<void> {
  const [outer, inner] = await Promise.all([realpath(parent), realpath(path)]);
  if (!inner.startsWith(outer + sep)) throw new PenjingError('E_PATH', `${basename(path)}, which the repository names, leads out of it`);
}

/** A flow may use what is in the repository. */
async function flowContained(root: string, folder: string): Promise<void> {
  const file = await flowFileAt(folder);
  if (file === undefined) return;
  for (const path of (await readFlow(file)).steps.flatMap(modelsOf)) await contained(root, path).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new PenjingError('E_CONFIG', `${file} names ${path}, which does not exist`, { hint: 'Paths of a flow begin at its own folder.', cause });
  });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then((info) => info.isDirectory(), () => false);
}

async function readOptions(path: string): Promise<ModelOptions> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '{}';
    throw error;
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PenjingError('E_CONFIG', `${path} is not JSON`, { cause });
  }
  const parsed = modelOptionsSchema.safeParse(value);
  if (!parsed.success) throw new PenjingError('E_CONFIG', `${path} is wrong: ${issuesOf(parsed.error)}`);
  return parsed.data;
}

/** `out/sapling` is sapling, `both/flow.json` both, `both.json` too, `out/sapling/onnx/model_q4.onnx` too. */
export function nameOf(path: string): string {
  const whole = resolve(path);
  if (extname(whole) === '.json') return basename(whole) === FLOW_FILE ? basename(dirname(whole)) : basename(whole, '.json').replace(/\.flow$/, '');
  if (extname(whole) !== '.onnx') return basename(whole);
  const parts = whole.split(sep);
  const stem = basename(whole, '.onnx');
  if (!/^(model|decoder_model_merged)(_|$)/.test(stem)) return stem;
  return parts.at(-2) === 'onnx' ? (parts.at(-3) ?? stem) : (parts.at(-2) ?? stem);
}
