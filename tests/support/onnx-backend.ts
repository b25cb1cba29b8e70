/** Reads the ONNX backend conformance tests from their archives; the archives are data beside the repository, never part of it. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { memorySource, type Model, type Tensor, toDense } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';

const root = resolve(fileURLToPath(new URL('../..', import.meta.url)));

/** Folder of the shared test data. */
export const testData = resolve(process.env['PENJING_TESTDATA'] ?? join(root, '../shared/data'));

/** Why tests over an archive are skipped; undefined when they are not. */
export function missing(group: string): string | undefined {
  const path = archivePath(group);
  return existsSync(path) ? undefined : `${path} is absent; set PENJING_TESTDATA`;
}

/** A tensor, a list of them, or null for an empty optional. */
export type TestValue = Tensor | readonly TestValue[] | null;

export interface BackendCase {
  readonly name: string;
  model(): Promise<Model>;
  /** Inputs and outputs of each data set, by position. */
  sets(): Promise<{ inputs: TestValue[]; outputs: TestValue[] }[]>;
}

const archivePath = (group: string): string => join(testData, 'onnx-backend', `${group}.tar.gz`);

/** Every test of a group, in order of name. */
export function backendCases(group: string): BackendCase[] {
  const files = untar(gunzipSync(readFileSync(archivePath(group))));
  const folders = [...files.keys()].filter((path) => path.endsWith('/model.onnx')).map((path) => path.slice(0, -'/model.onnx'.length)).sort();
  return folders.map((folder) => ({
    name: folder.split('/').at(-1)!,
    model: () => readOnnx(memorySource(files.get(`${folder}/model.onnx`)!)),
    async sets() {
      const model = await readOnnx(memorySource(files.get(`${folder}/model.onnx`)!));
      const sets = [];
      for (let set = 0; [...files.keys()].some((path) => path.startsWith(`${folder}/test_data_set_${set}/`)); set++) {
        const read = async (kind: string, types: readonly (string | undefined)[]): Promise<TestValue[]> => {
          const values: TestValue[] = [];
          for (let i = 0; files.has(`${folder}/test_data_set_${set}/${kind}_${i}.pb`); i++) {
            values.push(await readValue(files.get(`${folder}/test_data_set_${set}/${kind}_${i}.pb`)!, types[i]));
          }
          return values;
        };
        sets.push({
          inputs: await read('input', model.graph.inputs.map((value) => value.type?.kind)),
          outputs: await read('output', model.graph.outputs.map((value) => value.type?.kind)),
        });
      }
      return sets;
    },
  }));
}

/** Files of a tar archive by path. */
function untar(bytes: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (at: number, length: number): string => Buffer.from(bytes.subarray(at, at + length)).toString().replace(/\0.*$/s, '');
  let longPath: string | undefined;
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const size = parseInt(text(at + 124, 12), 8);
    const prefix = text(at + 257, 6) === 'ustar' ? text(at + 345, 155) : '';
    const path = longPath ?? (prefix ? `${prefix}/` : '') + text(at, 100);
    const type = String.fromCharCode(bytes[at + 156]!);
    // A path of more than 100 bytes comes before its file, in an entry of its own (pax).
    longPath = type === 'x' ? /\d+ path=(.*)\n/.exec(text(at + 512, size))?.[1] : undefined;
    if (type === '0' || type === '\0') files.set(path.replace(/^\.\//, ''), bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

async function readValue(bytes: Uint8Array, kind: string | undefined): Promise<TestValue> {
  if (kind === 'sequence') return readSequence(bytes);
  if (kind === 'optional') {
    const { body } = fields(bytes).find(({ field }) => field >= 3) ?? {};
    if (!body) return null;
    return fields(bytes).some(({ field }) => field === 5) ? readSequence(body) : readTensor(body);
  }
  return readTensor(bytes);
}

/** SequenceProto: tensors in field 3, sequences in field 5. */
function readSequence(bytes: Uint8Array): Promise<TestValue[]> {
  const parts = fields(bytes).filter(({ field }) => field === 3 || field === 5);
  return Promise.all(parts.map(({ field, body }): Promise<TestValue> => (field === 3 ? readTensor(body) : readSequence(body))));
}

/** Reads a TensorProto by the ONNX reader: as the one weight of a model made around it. */
async function readTensor(bytes: Uint8Array): Promise<Tensor> {
  const unnamed = fields(bytes).filter(({ field }) => field !== 8).map(({ raw }) => raw);
  const named = message(5, Buffer.concat([...unnamed, message(8, Buffer.from('x'))]));
  const graph = message(7, Buffer.concat([message(2, Buffer.from('g')), named]));
  const opset = message(8, Buffer.from([0x10, 21]));
  const model = await readOnnx(memorySource(Buffer.concat([Buffer.from([0x08, 10]), graph, opset])));
  const tensor = model.graph.initializers.get('x')!.tensor!;
  return tensor.kind === 'lazy' ? toDense(tensor) : tensor;
}

function message(field: number, body: Uint8Array): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
}

function varint(value: number): Buffer {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}

/** Fields of a message; `body` is that of a length-delimited field. */
function fields(bytes: Uint8Array): { field: number; body: Uint8Array; raw: Uint8Array }[] {
  const out = [];
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const start = at;
    const key = next();
    const wire = key & 7;
    const length = wire === 0 ? (next(), 0) : wire === 1 ? 8 : wire === 5 ? 4 : next();
    at += length;
    out.push({ field: key >> 3, body: bytes.subarray(at - length, at), raw: bytes.subarray(start, at) });
  }
  return out;
}
