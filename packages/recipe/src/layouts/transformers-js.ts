/** The folder that transformers.js loads, which is also ours. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type JsonObject, type TransformersJsDType, transformersJsFiles, transformersJsModels, transformersJsPath, type TransformersJsVariant,
} from '@penjing/graph-io';
import { type CompanionContext, type FolderLayout, type WrittenGraph } from './folder-layout.js';

/** The field of config.json that is for transformers.js alone. */
export const CLIENT = 'transformers.js_config';

export const transformersJsLayout: FolderLayout = {
  // transformers.js has no name for weights stored in bfloat16
  graph: (stem, dtype) => (dtype === undefined ? `onnx/${stem}_bf16.onnx` : transformersJsPath(stem, dtype)),
  shared: 'onnx',
  async companions(context) {
    const { folder, dtype, adds, graphs } = context;
    const added: TransformersJsVariant[] = dtype === undefined ? [] : graphs.map((graph) => ({ ...factsOf(graph), dtype }));
    const files = await transformersJsFiles(folder, [...(adds ? otherVariants(context) : []), ...added]);
    // The files of a folder that is there are left alone, except that transformers.js must learn of data files and caches.
    return adds ? files.filter(({ name, pieces }) => name === 'config.json' && pieces[0]?.kind === 'bytes') : files;
  },
};

/** What transformers.js must know of a graph before it loads it. */
function factsOf({ stem, model, files }: WrittenGraph): Omit<TransformersJsVariant, 'dtype'> {
  const cache = model.graph.inputs.find(({ name }) => name.startsWith('past_key_values.'))?.type;
  const half = cache?.kind === 'tensor' && cache.dtype === 'float16';
  return { stem, externalFiles: files.length - 1, ...(half && { cacheDtype: 'float16' }) };
}

/** The other graphs of the folder that are parts of the same model. */
function otherVariants({ folder, target, dtype: own, graphs }: CompanionContext): TransformersJsVariant[] {
  const settings = folder.config[CLIENT] as { readonly kv_cache_dtype?: JsonObject } | undefined;
  return (Object.keys(transformersJsModels) as TransformersJsDType[]).flatMap((dtype) =>
    graphs.flatMap(({ stem }) => {
      const path = resolve(target, transformersJsPath(stem, dtype));
      if (dtype === own || !existsSync(path)) return [];
      const half = settings?.kv_cache_dtype?.[dtype] === 'float16';
      return [{ dtype, stem, externalFiles: existsSync(`${path}_data`) ? 1 : 0, ...(half && { cacheDtype: 'float16' as const }) }];
    }),
  );
}
