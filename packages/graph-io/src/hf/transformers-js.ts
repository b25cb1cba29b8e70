/** The folder that transformers.js loads: where each graph goes, and the files that go beside it. */
import type { FileLayout } from '../layout.js';
import { companionFiles, configFile } from './companion-files.js';
import { Fields } from './fields.js';
import { isObject, type JsonObject } from './folder.js';
import type { HuggingFaceConfig } from './open.js';
import { architectures } from './registry.js';

/** What follows the stem of a graph file, by `dtype` of transformers.js: the one place where these names are written. */
const suffixes = {
  fp32: '',
  fp16: '_fp16',
  int8: '_int8',
  uint8: '_uint8',
  q8: '_quantized',
  q4: '_q4',
  q4f16: '_q4f16',
  q2: '_q2',
  q2f16: '_q2f16',
} as const;

export type TransformersJsDType = keyof typeof suffixes;

/** The file of a graph: stems are those of `convertHuggingFaceGraphs`, `model` or `encoder_model` and its decoder. */
export function transformersJsPath(stem: string, dtype: TransformersJsDType): string {
  return `onnx/${stem}${suffixes[dtype]}.onnx`;
}

/** The files of a model of one graph. */
export const transformersJsModels = Object.fromEntries(
  Object.keys(suffixes).map((dtype) => [dtype, transformersJsPath('model', dtype as TransformersJsDType)]),
) as Readonly<Record<TransformersJsDType, string>>;

/** One graph of the folder. */
export interface TransformersJsVariant {
  readonly dtype: TransformersJsDType;
  /** `model` when absent. */
  readonly stem?: string;
  /** External data files beside the graph: `model.onnx_data`. */
  readonly externalFiles?: number;
  /** Type of the past and present values; float32 when absent. */
  readonly cacheDtype?: 'float32' | 'float16';
}

/**
 * Everything but the graphs: config.json, and the tokenizer's and generation's files. `variants` are all graphs of
 * the folder, those already there too. config.json is copied as well unless transformers.js needs more from it.
 */
export async function transformersJsFiles(
  folder: HuggingFaceConfig,
  variants: readonly TransformersJsVariant[],
): Promise<FileLayout[]> {
  const copies = await companionFiles(folder);
  const added = { ...missingFields(folder), ...clientSettings(folder, variants) };
  return [await configFile(folder, added), ...copies];
}

/** Older transformers.js takes the shape of the cache from the config, and knows no defaults. */
function missingFields(folder: HuggingFaceConfig): JsonObject {
  const architecture = architectures.find(({ classes }) => Object.hasOwn(classes, folder.architecture));
  if (!architecture) return {};
  const config = new Fields(folder.config, 'config.json');
  return Object.fromEntries(Object.entries(architecture.clientConfig(config)).filter(([name]) => !config.has(name)));
}

/** `transformers.js_config`: how many data files a graph has, and the caches that are not float32. */
function clientSettings(folder: HuggingFaceConfig, variants: readonly TransformersJsVariant[]): JsonObject {
  const external: Record<string, number> = {};
  const caches: Record<string, string> = {};
  for (const { dtype, stem = 'model', externalFiles = 0, cacheDtype = 'float32' } of variants) {
    const file = transformersJsPath(stem, dtype).slice('onnx/'.length);
    if (externalFiles > 0) external[file] = externalFiles;
    if (cacheDtype !== 'float32') caches[dtype] = cacheDtype;
  }
  const given = folder.config['transformers.js_config'];
  // what the input said of its own graphs does not hold for these
  const { use_external_data_format: _external, kv_cache_dtype: _caches, dtype, ...kept } = isObject(given) ? given : {};
  // nor does a preference for graphs that are not here
  const here: ReadonlySet<unknown> = new Set(variants.map((variant) => variant.dtype));
  const preferred = isObject(dtype) ? Object.values(dtype).every((name) => here.has(name)) : here.has(dtype);
  const settings = {
    ...kept,
    ...(preferred && { dtype }),
    ...(Object.keys(external).length > 0 && { use_external_data_format: external }),
    ...(Object.keys(caches).length > 0 && { kv_cache_dtype: caches }),
  };
  const same = JSON.stringify(settings) === JSON.stringify(given ?? {});
  return same ? {} : { 'transformers.js_config': settings };
}
