/** Arrays of NumPy: .npy, and .npz, a zip of them. The first dimension counts the items. */
import { type ByteSource, DenseTensor, type DType, dtypes, elementCount, memorySource, PenjingError, type Shape } from '@penjing/core';
import { dataLimits } from '../limits.js';
import { openZip } from '../pytorch/zip.js';
import { type DataSource, dataSource } from './data-source.js';

export interface NpyArray {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly source: ByteSource;
  /** First byte of the data. */
  readonly offset: number;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Kinds of NumPy without their byte order. */
const TYPES: Readonly<Record<string, DType>> = {
  f2: 'float16', f4: 'float32', f8: 'float64', i1: 'int8', i2: 'int16', i4: 'int32', i8: 'int64', u1: 'uint8', u2: 'uint16', u4: 'uint32', u8: 'uint64', b1: 'bool',
};

export function isNpy(head: Uint8Array): boolean {
  return MAGIC.every((byte, i) => head[i] === byte);
}

/** Reads the header: text that looks like a dictionary of Python, of which only the three known fields are accepted. Nothing is unpickled. */
export async function readNpy(name: string, source: ByteSource): Promise<NpyArray> {
  const broken = (why: string, hint?: string): PenjingError => new PenjingError('E_DATA', `${name}: ${why}`, hint === undefined ? {} : { hint });
  if (source.size < 12) throw broken('it is no .npy file');
  const head = await source.read(0, 12);
  if (!isNpy(head)) throw broken('it is no .npy file');
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const start = head[6] === 1 ? 10 : 12;
  const length = head[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > dataLimits.npyHeaderBytes || start + length > source.size) throw broken(`its header takes ${length} bytes`);
  const text = new TextDecoder('latin1').decode(await source.read(start, length));
  const match = /^\{\s*'descr':\s*'([^']{1,16})',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d,\s]*)\),?\s*\}\s*$/.exec(text);
  if (!match) throw broken('its header is no plain array', 'Arrays with fields or objects are not read.');
  const [, descr = '', order, dims = ''] = match;
  const dtype = TYPES[descr.slice(1)];
  if (dtype === undefined || !['<', '|', '='].includes(descr[0]!)) throw broken(`it holds ${descr}`, 'Save it as little-endian numbers, for example x.astype("<f4").');
  const shape = dims.split(',').map((dim) => dim.trim()).filter((dim) => dim !== '').map(Number);
  if (shape.length > dataLimits.rank) throw broken(`it has ${shape.length} dimensions`);
  if (order === 'True' && shape.filter((dim) => dim > 1).length > 1) throw broken('it is stored column by column', 'Save np.ascontiguousarray(x).');
  const offset = start + length;
  const bytes = (shape.reduce((product, dim) => product * dim, 1) * dtypes[dtype].bits) / 8;
  if (!Number.isSafeInteger(bytes) || offset + bytes !== source.size) throw broken(`${dtype} [${shape.join(', ')}] takes ${bytes} bytes, the file has ${source.size - offset}`);
  return { dtype, shape, source, offset };
}

/** One array, without a name; its rows are the items. */
export async function openNpy(name: string, source: ByteSource, hash: string): Promise<DataSource> {
  return arraysSource('npy', new Map([['', await readNpy(name, source)]]), hash);
}

/** Arrays by name, all with the same first dimension; one called `label` or `labels` holds classes. */
export async function openNpz(name: string, source: ByteSource, hash: string): Promise<DataSource> {
  const zip = await openZip(source);
  const arrays = new Map<string, NpyArray>();
  for (const [entry, { stored, offset, size }] of zip.entries) {
    if (!entry.endsWith('.npy')) continue;
    const inner = stored ? sliceSource(source, offset, size) : memorySource(await zip.read(entry, dataLimits.fileBytes));
    arrays.set(entry.slice(0, -4), await readNpy(`${name}, ${entry}`, inner));
  }
  if (arrays.size === 0) throw new PenjingError('E_DATA', `${name} holds no arrays (.npy)`);
  return arraysSource('npz', arrays, hash);
}

async function arraysSource(format: string, arrays: Map<string, NpyArray>, hash: string): Promise<DataSource> {
  const counts = new Set([...arrays.values()].map(({ shape }) => shape[0]));
  const [count] = counts;
  if (counts.size > 1 || count === undefined) {
    throw new PenjingError('E_DATA', `the first dimension of every array counts the samples, they are ${[...arrays].map(([name, { shape }]) => `${name} [${shape.join(', ')}]`).join(', ')}`);
  }
  const labelName = [...arrays].find(([name, { dtype, shape }]) => arrays.size > 1 && /^labels?$/.test(name) && shape.length === 1 && ['int', 'uint'].includes(dtypes[dtype].kind))?.[0];
  const labels = labelName === undefined ? undefined : arrays.get(labelName)!;
  if (labelName !== undefined) arrays.delete(labelName);
  return dataSource({
    format, count, hash, labelled: labels !== undefined,
    async item(index) {
      const tensors = new Map<string, DenseTensor>();
      for (const [name, array] of arrays) tensors.set(name, await rowOf(array, index));
      return { kind: 'tensors', tensors, ...(labels && { label: Number((await rowOf(labels, index)).data[0]) }) };
    },
  });
}

async function rowOf({ dtype, shape, source, offset }: NpyArray, index: number): Promise<DenseTensor> {
  const row = shape.slice(1);
  const bytes = (elementCount(row) * dtypes[dtype].bits) / 8;
  return new DenseTensor(dtype, row, await source.read(offset + index * bytes, bytes));
}

function sliceSource(source: ByteSource, start: number, size: number): ByteSource {
  return { uri: `${source.uri}#${start}`, size, descriptor: { kind: 'memory', size }, read: (offset, length) => source.read(start + offset, length) };
}
