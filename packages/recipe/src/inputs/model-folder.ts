/** The layout of transformers.js: config.json and onnx/model….onnx, or several graphs such as an encoder and its decoder. */
import { basename, join } from 'node:path';
import { readdir } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';
import { openFolder } from '@penjing/graph-io/node';
import { splitGraphName } from '../graph-names.js';
import { describeModel } from './describe.js';
import type { InputFormat } from './input.js';
import { checkpointOf, openOnnx } from './onnx.js';

const isGraph = (name: string): boolean => name.endsWith('.onnx');

export const modelFolderInput: InputFormat = {
  holds: (names, inner) => [...names, ...inner].some(isGraph),
  async open(path) {
    const files = await graphFiles(path);
    const open = (signal?: AbortSignal) =>
      Promise.all([...files].map(async ([stem, file]) => [stem, await openOnnx(join(path, file), signal)] as const));
    return {
      format: 'model folder',
      path,
      folder: openFolder(path),
      accepts: [],
      graphs: async ({ signal }) => new Map(await open(signal)),
      checkpoint: async ({ signal } = {}) => checkpointOf((await open(signal)).map(([, model]) => model)),
      async inspect(options) {
        const [[, first] = []] = files;
        if (first === undefined) throw new PenjingError('E_FORMAT', `${path} has no graph`);
        const facts = [{ name: 'folder', value: path }, { name: 'graphs', value: (await graphNames(path)).join(', ') }];
        return describeModel('model folder', await openOnnx(join(path, first), options.signal), facts, options);
      },
    };
  },
};

/** Every graph, the full-precision ones first; those in `onnx/` come before those beside the configuration. */
export async function graphNames(path: string): Promise<string[]> {
  const list = async (folder: string): Promise<string[]> => (await readdir(join(path, folder)).catch(() => [])).filter(isGraph).sort();
  const names = [...(await list('onnx')).map((name) => `onnx/${name}`), ...(await list('.'))];
  const rank = (name: string): number => (splitGraphName(basename(name)).suffix === '' ? 0 : 1);
  return names.sort((a, b) => rank(a) - rank(b));
}

/** The graph to start from by file stem: the full-precision one where there is one. */
export async function graphFiles(path: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of await graphNames(path)) {
    const { stem } = splitGraphName(basename(name));
    if (!files.has(stem)) files.set(stem, name);
  }
  return files;
}

/** The first graph of a folder, relative to it. */
export async function firstGraph(path: string): Promise<string | undefined> {
  return (await graphNames(path))[0];
}
