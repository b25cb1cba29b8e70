/** A Hugging Face model folder: its configuration, read and checked, and its weights, still on disk. */
import { type Checkpoint, PenjingError } from '@penjing/core';
import { openPytorch, openPytorchIndex } from '../pytorch/index.js';
import { openSafetensors, openSafetensorsIndex } from '../safetensors/index.js';
import { Fields } from './fields.js';
import { type JsonObject, type ModelFolder, readJsonObject, within } from './folder.js';
import { MODULES, readSentenceModules, type SentenceModules } from './sentence/modules.js';
import { textPart, textWeights } from './text-part.js';

/** What the small files of a folder say; a converted model has them too. */
export interface HuggingFaceConfig {
  readonly folder: ModelFolder;
  readonly files: readonly string[];
  /** What sentence-transformers puts behind the network, when the folder says so. */
  readonly modules?: SentenceModules;
  /** config.json as it is, or that of the decoder in a model that also sees pictures. */
  readonly config: JsonObject;
  /** The configuration is no longer that of the file. */
  readonly changed?: boolean;
  /** What a model with other senses does besides reading and writing, which is left out: `pictures`. */
  readonly leftOut?: string;
  /** generation_config.json, when there is one. */
  readonly generationConfig: JsonObject | undefined;
  /** Class name from `architectures`; empty when the config names none. */
  readonly architecture: string;
  readonly modelType: string;
  /** Type the weights were saved in, as the config says it (`dtype`, or `torch_dtype` before transformers 5). */
  readonly dtype: string | undefined;
}

export interface HuggingFaceFolder extends HuggingFaceConfig {
  /** Names, shapes and places of the weights; their bytes stay where they are. */
  readonly checkpoint: Checkpoint;
}

const CONFIG = 'config.json';
const GENERATION_CONFIG = 'generation_config.json';
const WEIGHTS = 'model.safetensors';
const WEIGHTS_INDEX = 'model.safetensors.index.json';
const TORCH_WEIGHTS = 'pytorch_model.bin';
const TORCH_WEIGHTS_INDEX = 'pytorch_model.bin.index.json';
const WEIGHT_FILES: readonly string[] = [WEIGHTS, WEIGHTS_INDEX, TORCH_WEIGHTS, TORCH_WEIGHTS_INDEX];

/** Settings of what turns pictures and sounds into inputs. */
const PROCESSORS: readonly string[] = ['preprocessor_config.json', 'processor_config.json', 'video_preprocessor_config.json'];

/** Throws `E_FORMAT` when the folder is no Hugging Face model, `E_CONFIG` when its config.json is not one. */
export async function openHuggingFaceFolder(folder: ModelFolder): Promise<HuggingFaceFolder> {
  const config = await openHuggingFaceConfig(folder);
  const checkpoint = await openWeights(config.folder, config.files);
  return { ...config, checkpoint: config.leftOut === undefined ? checkpoint : textWeights(checkpoint) };
}

/** The same without weights. */
export async function openHuggingFaceConfig(root: ModelFolder): Promise<HuggingFaceConfig> {
  const around = await root.list();
  const modules = around.includes(MODULES) ? await readSentenceModules(root) : undefined;
  const inner = modules?.transformer.path ?? '';
  const folder = inner === '' ? root : within(root, inner);
  const files = inner === '' ? around : await folder.list();
  if (!files.includes(CONFIG)) {
    throw new PenjingError('E_FORMAT', `${folder.name} has no ${CONFIG}`, {
      hint: 'Give a folder as downloaded from Hugging Face: config.json, model.safetensors and the tokenizer files.',
    });
  }
  const stored = await readJsonObject(folder, CONFIG);
  // graphs of such a model, which others have made, are all of it
  const part = files.some((name) => WEIGHT_FILES.includes(name)) ? textPart(stored) : undefined;
  const config = part?.config ?? stored;
  const fields = new Fields(config, CONFIG);
  return {
    folder,
    files: part ? files.filter((name) => !PROCESSORS.includes(name)) : files,
    config,
    ...(modules && { modules }),
    ...(part && { leftOut: part.leftOut }),
    generationConfig: files.includes(GENERATION_CONFIG) ? await readJsonObject(folder, GENERATION_CONFIG) : undefined,
    architecture: firstClass(fields),
    modelType: text(fields, 'model_type') ?? '',
    dtype: text(fields, 'dtype') ?? text(fields, 'torch_dtype'),
  };
}

async function openWeights(folder: ModelFolder, files: readonly string[]): Promise<Checkpoint> {
  if (files.includes(WEIGHTS)) return openSafetensors(await folder.open(WEIGHTS));
  if (files.includes(WEIGHTS_INDEX)) {
    return openSafetensorsIndex(await folder.open(WEIGHTS_INDEX), (name) => folder.open(name));
  }
  if (files.includes(TORCH_WEIGHTS)) return openPytorch(await folder.open(TORCH_WEIGHTS));
  if (files.includes(TORCH_WEIGHTS_INDEX)) return openPytorchIndex(await folder.open(TORCH_WEIGHTS_INDEX), (name) => folder.open(name));
  throw new PenjingError('E_WEIGHTS', `${folder.name} has no weights: neither ${WEIGHTS} nor ${TORCH_WEIGHTS}, nor an index of shards of them`, {
    hint: 'Download the weights into the folder too.',
  });
}

function firstClass(config: Fields): string {
  const value = config.get('architectures');
  if (value === undefined) return '';
  if (Array.isArray(value) && typeof value[0] === 'string') return value[0];
  throw config.wrong('architectures', 'a list of class names');
}

function text(config: Fields, name: string): string | undefined {
  const value = config.get(name);
  if (value === undefined || typeof value === 'string') return value;
  throw config.wrong(name, 'a name');
}
