/** Opens a .pt2 file: the program is read, the weights stay ranges of the file. Both layouts that torch has written. */
import { type ByteSource, isPenjingError, LazyTensor, PenjingError, type Tensor, type TensorExpr } from '@penjing/core';
import { pt2Limits } from '../../limits.js';
import { openPytorch } from '../../pytorch/index.js';
import { type StorageRange, stridedTensor } from '../../pytorch/strided.js';
import { openZip, type ZipArchive } from '../../pytorch/zip.js';
import { isObject } from '../../safetensors/unique-json.js';
import { type Program, ProgramReader } from './program.js';

/** A program and its weights, by their names in the model. Names of tied weights share one tensor. */
export interface ExportedProgram {
  readonly program: Program;
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly constants: ReadonlyMap<string, Tensor>;
  /** The layout: `pt2`, or `legacy` before torch 2.8. */
  readonly layout: 'pt2' | 'legacy';
}

const LEGACY_PROGRAM = 'serialized_exported_program.json';

/** Throws `E_FORMAT` for a zip file that is no exported program, `E_PT2` for one that is damaged, `E_LIMIT`. */
export async function openExportedProgram(source: ByteSource): Promise<ExportedProgram> {
  const zip = await openZip(source);
  const find = (suffix: string): string | undefined => [...zip.entries.keys()].find((name) => name === suffix || name.endsWith(`/${suffix}`));
  const format = find('archive_format');
  const legacy = find(LEGACY_PROGRAM);
  if (legacy !== undefined) return openLegacy(zip, legacy.slice(0, -LEGACY_PROGRAM.length));
  if (format === undefined) {
    throw new PenjingError('E_FORMAT', `${source.uri} is a zip file, but no program that torch.export wrote`, { hint: 'Give a file that torch.export.save wrote.' });
  }
  return openCurrent(zip, format.slice(0, -'archive_format'.length));
}

async function openCurrent(zip: ZipArchive, root: string): Promise<ExportedProgram> {
  const { uri } = zip.source;
  await checkByteOrder(zip, `${root}byteorder`);
  const models = [...zip.entries.keys()].filter((name) => name.startsWith(`${root}models/`) && name.endsWith('.json'));
  const [model] = models;
  if (model === undefined) throw new PenjingError('E_FORMAT', `${uri} holds no program`, { hint: 'It may be a package of compiled code; export with torch.export.save.' });
  if (models.length > 1) throw new PenjingError('E_UNSUPPORTED', `${uri} holds ${models.length} programs: ${models.map(nameOf).join(', ')}`, { hint: 'Save one program per file.' });
  const reader = new ProgramReader(uri);
  const program = reader.program(await json(zip, model));
  const name = nameOf(model);
  // The documentation names the files otherwise than torch writes them.
  const weights = await tensors(zip, reader, `${root}data/weights/`, [`${name}_weights_config.json`, `${name}_model_param_config.json`]);
  const constants = await tensors(zip, reader, `${root}data/constants/`, [`${name}_constants_config.json`, `${name}_model_constants_config.json`]);
  return { program, weights, constants, layout: 'pt2' };
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1).replace(/\.json$/, '');

/** A config names each tensor's file and how the tensor lies in it. */
async function tensors(zip: ZipArchive, reader: ProgramReader, folder: string, names: readonly string[]): Promise<Map<string, Tensor>> {
  const out = new Map<string, Tensor>();
  const config = names.map((name) => folder + name).find((name) => zip.entries.has(name));
  if (config === undefined) return out;
  const value = await json(zip, config);
  const entries = isObject(value) ? value['config'] : undefined;
  if (!isObject(entries)) throw reader.invalid(`${config} has no config`);
  const known = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(entries)) {
    if (!isObject(entry) || typeof entry['path_name'] !== 'string') throw reader.invalid(`${name} in ${config} names no file`);
    // Objects of other kinds, such as script objects, stand here too.
    if (entry['path_name'].startsWith('custom_obj')) continue;
    const path = folder + entry['path_name'];
    // One storage under two names in the same form is one tensor.
    const key = JSON.stringify([path, entry['tensor_meta']]);
    const tensor = known.get(key) ?? (entry['use_pickle'] === true ? await pickled(zip, path, name) : raw(zip, reader, path, name, entry['tensor_meta']));
    known.set(key, tensor);
    out.set(name, tensor);
  }
  return out;
}

function raw(zip: ZipArchive, reader: ProgramReader, path: string, name: string, value: unknown): Tensor {
  const meta = reader.meta(value, name);
  const { shape, strides } = meta;
  if (!shape.every((dim) => typeof dim === 'number') || !strides.every((stride) => stride !== null) || strides.length !== shape.length) {
    throw reader.invalid(`${name} has no fixed shape`);
  }
  return stridedTensor(storage(zip, reader, path, name), { dtype: meta.dtype, shape, strides, offset: meta.storageOffset }, name);
}

function storage(zip: ZipArchive, reader: ProgramReader, path: string, name: string): StorageRange {
  const entry = zip.entries.get(path);
  if (!entry) throw reader.invalid(`${name} stands in ${path}, which is not there`);
  if (!entry.stored) throw reader.invalid(`${path} is compressed, weights are stored as they are`);
  return { source: zip.source, offset: entry.offset, byteLength: entry.size };
}

/** A whole file of torch.save with one tensor in it. */
async function pickled(zip: ZipArchive, path: string, name: string): Promise<Tensor> {
  const [tensor] = (await pickledTensors(zip, path)).values();
  if (!tensor) throw new PenjingError('E_PT2', `${name} in ${zip.source.uri} holds no tensor`);
  return tensor;
}

/** The tensors of a file of torch.save that is an entry of this one: read as a file of its own, found in the whole one. */
async function pickledTensors(zip: ZipArchive, path: string): Promise<Map<string, Tensor>> {
  const entry = zip.entries.get(path);
  if (!entry?.stored) throw new PenjingError('E_PT2', `${path} is missing in ${zip.source.uri}, or compressed`);
  const { source } = zip;
  const part: ByteSource = {
    uri: `${source.uri}#${path}`, size: entry.size,
    // no thread opens the part: what stays lazy is moved to the whole below
    descriptor: { kind: 'memory', size: entry.size },
    read: (offset, length) => source.read(entry.offset + offset, length),
  };
  const { tensors } = await openPytorch(part);
  const moved = new Map<Tensor, Tensor>();
  return new Map([...tensors].map(([name, tensor]) => {
    // tied weights stay one tensor
    const whole = moved.get(tensor) ?? movedTensor(tensor, part.uri, source, entry.offset);
    moved.set(tensor, whole);
    return [name, whole];
  }));
}

/** Ranges of a part as ranges of the whole, which threads can open. */
function movedTensor(tensor: Tensor, part: string, source: ByteSource, offset: number): Tensor {
  if (!(tensor.kind === 'lazy')) return tensor;
  const { expr, sources } = tensor as LazyTensor;
  const moved = JSON.parse(JSON.stringify(expr), (_key, value: unknown) =>
    isObject(value) && value['op'] === 'source' && value['source'] === part ? { ...value, source: source.uri, offset: (value['offset'] as number) + offset } : value,
  ) as TensorExpr;
  return new LazyTensor(moved, new Map([...sources].filter(([uri]) => uri !== part).concat([[source.uri, source]])));
}

async function openLegacy(zip: ZipArchive, root: string): Promise<ExportedProgram> {
  const reader = new ProgramReader(zip.source.uri);
  const program = reader.program(await json(zip, root + LEGACY_PROGRAM));
  const part = async (name: string): Promise<ReadonlyMap<string, Tensor>> => {
    const path = [`${root}${name}.pt`, `${root}${name}.json`].find((candidate) => zip.entries.has(candidate));
    // An empty dictionary is written as no bytes.
    if (path === undefined || zip.entries.get(path)!.size === 0) return new Map();
    // Some versions wrote an empty dictionary as a file without tensors.
    return pickledTensors(zip, path).catch((error: unknown) => {
      if (isPenjingError(error) && error.code === 'E_WEIGHTS') return new Map<string, Tensor>();
      throw error;
    });
  };
  return { program, weights: await part('serialized_state_dict'), constants: await part('serialized_constants'), layout: 'legacy' };
}

async function checkByteOrder(zip: ZipArchive, path: string): Promise<void> {
  if (!zip.entries.has(path)) return;
  const order = new TextDecoder().decode(await zip.read(path, 16));
  if (order.trim() !== 'little') throw new PenjingError('E_PT2', `${zip.source.uri} is written in ${order.trim()} byte order`, { hint: 'Export it on a little-endian machine.' });
}

async function json(zip: ZipArchive, path: string): Promise<unknown> {
  const bytes = await zip.read(path, pt2Limits.programBytes);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PenjingError('E_PT2', `${path} in ${zip.source.uri} is no JSON`, { cause, hint: 'Export it again with torch.export.save.' });
  }
}
