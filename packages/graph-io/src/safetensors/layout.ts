/** The plan of a safetensors checkpoint: one file, or shards with their index. The same tensors give the same bytes. */
import { type Checkpoint, dtypes, PenjingError, type Tensor } from '@penjing/core';
import type { FileLayout, LayoutPiece } from '../layout.js';

export interface SafetensorsOptions {
  /** File name, `model.safetensors` by default; shards and the index are named after it. */
  readonly name?: string;
  /** Largest data section of a file; one file when absent. A larger tensor gets a file of its own. */
  readonly shardBytes?: number;
}

type Entry = readonly [name: string, tensor: Tensor];

/** Throws `E_DTYPE` for a tensor that the format cannot hold. */
export function safetensorsLayout(checkpoint: Checkpoint, options: SafetensorsOptions = {}): FileLayout[] {
  const { name = 'model.safetensors', shardBytes = Infinity } = options;
  const shards = cut([...checkpoint.tensors], shardBytes);
  if (shards.length <= 1) return [fileLayout(name, shards[0] ?? [], checkpoint.metadata)];
  const stem = name.replace(/\.safetensors$/, '');
  const label = (number: number): string => String(number).padStart(5, '0');
  const files = shards.map((shard, i) =>
    fileLayout(`${stem}-${label(i + 1)}-of-${label(shards.length)}.safetensors`, shard, checkpoint.metadata),
  );
  return [...files, indexLayout(`${stem}.safetensors.index.json`, files, shards)];
}

/** Consecutive tensors of at most `shardBytes` together. */
function cut(entries: readonly Entry[], shardBytes: number): Entry[][] {
  const shards: Entry[][] = [];
  let room = -1;
  for (const entry of entries) {
    const { byteLength } = entry[1];
    if (byteLength > room) {
      shards.push([]);
      room = shardBytes;
    }
    shards.at(-1)!.push(entry);
    room -= byteLength;
  }
  return shards;
}

function fileLayout(file: string, tensors: readonly Entry[], metadata: ReadonlyMap<string, string>): FileLayout {
  // Wide elements first keeps every tensor aligned to its element; within a width by name, as the reference does.
  const entries = [...tensors].sort(([a, x], [b, y]) => dtypes[y.dtype].bits - dtypes[x.dtype].bits || compareText(a, b));
  const fields: string[] = [];
  if (metadata.size > 0) fields.push(`"__metadata__":${JSON.stringify(Object.fromEntries([...metadata].sort(([a], [b]) => compareText(a, b))))}`);
  let end = 0;
  for (const [name, tensor] of entries) {
    const begin = end;
    end += checkedBytes(name, tensor);
    fields.push(`${JSON.stringify(name)}:{"dtype":"${codeOf(name, tensor)}","shape":${JSON.stringify(tensor.shape)},"data_offsets":[${begin},${end}]}`);
  }
  const header = frameHeader(`{${fields.join(',')}}`);
  const pieces: LayoutPiece[] = [{ kind: 'bytes', offset: 0, bytes: header }];
  let offset = header.byteLength;
  for (const [name, tensor] of entries) {
    if (tensor.byteLength > 0) pieces.push({ kind: 'tensor', offset, name, tensor });
    offset += tensor.byteLength;
  }
  return { name: file, size: offset, pieces };
}

/** Length, then the text padded with spaces, so that the data starts on 8 bytes. */
function frameHeader(text: string): Uint8Array {
  const json = new TextEncoder().encode(text);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

function indexLayout(name: string, files: readonly FileLayout[], shards: readonly (readonly Entry[])[]): FileLayout {
  const places = shards.flatMap((shard, i) => shard.map(([tensor]) => [tensor, files[i]!.name] as const));
  const total = shards.flat().reduce((sum, [, tensor]) => sum + tensor.byteLength, 0);
  const weightMap = places.sort(([a], [b]) => compareText(a, b)).map(([tensor, file]) => `    ${JSON.stringify(tensor)}: ${JSON.stringify(file)}`);
  // Written by hand: an object would move names that look like numbers to the front.
  const text = `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${weightMap.join(',\n')}\n  }\n}\n`;
  const bytes = new TextEncoder().encode(text);
  return { name, size: bytes.byteLength, pieces: [{ kind: 'bytes', offset: 0, bytes }] };
}

function codeOf(name: string, tensor: Tensor): string {
  const code = dtypes[tensor.dtype].safetensors;
  if (code === undefined || tensor.kind === 'string' || tensor.kind === 'sparse') {
    throw new PenjingError('E_DTYPE', `${name} is ${tensor.kind === 'sparse' ? 'sparse' : tensor.dtype}, which safetensors cannot hold`, {
      hint: 'Save the model as ONNX, or cast the tensor first.',
    });
  }
  if (name === '__metadata__') throw new PenjingError('E_SAFETENSORS', 'a tensor cannot be called __metadata__ in safetensors');
  return code;
}

function checkedBytes(name: string, tensor: Tensor): number {
  const code = codeOf(name, tensor);
  const bits = dtypes[tensor.dtype].bits * tensor.shape.reduce((product, dim) => product * dim, 1);
  if (bits % 8 !== 0) throw new PenjingError('E_DTYPE', `${name} (${code}) does not fill its last byte, which safetensors requires`);
  return tensor.byteLength;
}

/** By UTF-16 units: the same on every machine. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
