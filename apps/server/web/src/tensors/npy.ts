/** NumPy's .npy files (numpy.org, NEP 1): read into tensors of the type that a model wants, and written from its outputs. */
import { type Datatype, datatypes, isDatatype } from './datatypes.js';
import { countOf, fillTensor, type TensorData, TensorProblem } from './tensor-data.js';

const MAGIC = '\u0093NUMPY';

const byNpy = new Map(Object.entries(datatypes).flatMap(([name, { npy }]) => (npy === undefined ? [] : [[npy, name as Datatype] as const])));

/** Throws a {@link TensorProblem} that says why. Big-endian, Fortran-ordered, object and text arrays are refused. */
export function readNpy(bytes: Uint8Array): TensorData {
  const fail = (why: string): never => {
    throw new TensorProblem('tensor.error.npy', { why });
  };
  if (bytes.length < 10 || String.fromCharCode(...bytes.subarray(0, 6)) !== MAGIC) fail('no NUMPY signature');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOld = bytes[6] === 1;
  const start = isOld ? 10 : 12;
  if (bytes.length < start) fail('cut short');
  const end = start + (isOld ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > bytes.length) fail('cut short');
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const descr = /'descr':\s*'([^']{1,16})'/.exec(header)?.[1] ?? fail('no type');
  if (!/'fortran_order':\s*False/.test(header)) fail('Fortran order');
  const shapeText = /'shape':\s*\(([\d\s,]*)\)/.exec(header)?.[1] ?? fail('no shape');
  const shape = shapeText.split(',').map((part) => part.trim()).filter((part) => part !== '').map(Number);
  const datatype = byNpy.get(descr) ?? fail(`type ${descr}`);
  const length = countOf(shape) * datatypes[datatype].size;
  if (!Number.isSafeInteger(length) || end + length !== bytes.length) fail('size and shape disagree');
  return { datatype, shape, bytes: bytes.slice(end, end + length) };
}

/** Whole numbers may become others when every element fits; floats may become floats. Throws a {@link TensorProblem} otherwise. */
export function convertTensor(tensor: TensorData, wanted: Datatype | 'BYTES'): TensorData {
  const { datatype, shape, bytes } = tensor;
  if (datatype === wanted) return tensor;
  const refuse = (): never => {
    throw new TensorProblem('tensor.error.dtype', { given: datatype, wanted });
  };
  if (!isDatatype(datatype) || !isDatatype(wanted)) return refuse();
  const [from, to] = [datatypes[datatype], datatypes[wanted]];
  if (!from.range && to.range) return refuse();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return fillTensor(wanted, shape, (i) => from.read(view, i * from.size));
}

/** The whole file; undefined for types that NumPy does not have. */
export function writeNpy({ datatype, shape, bytes }: TensorData): Uint8Array<ArrayBuffer> | undefined {
  const descr = isDatatype(datatype) ? datatypes[datatype].npy : undefined;
  if (descr === undefined) return undefined;
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`;
  // The data begins at a multiple of 64, and the header ends with a line break.
  const total = Math.ceil((10 + header.length + 1) / 64) * 64;
  const file = new Uint8Array(total + bytes.length);
  const text = `${MAGIC}\u0001\u0000${String.fromCharCode((total - 10) & 255, (total - 10) >> 8)}${header.padEnd(total - 11)}\n`;
  for (let i = 0; i < text.length; i++) file[i] = text.charCodeAt(i);
  file.set(bytes, total);
  return file;
}
