/** What requests and responses share as JSON: a list of tensors whose data stands in it, or behind it as binary data. */
import { checkDatatype, v2DatatypeOf } from './datatypes.js';
import { checkCount, checkParameters, checkShape, checkText, checkUnique, type V2Parameters, type V2Tensor } from './infer.js';
import { tensorFromJson, tensorToJson } from './json-data.js';
import { refused } from './refused.js';
import { splitJson, type SplitJson } from './split-json.js';
import { sizeOf, tensorFromBytes, tensorToBytes, wireSize } from './tensor-bytes.js';

/** A body in parts that are sent one after the other. */
export interface V2Body {
  /** All of it as a text, where it is nothing but JSON: who can send one needs no parts, and they are made only when they are asked for. */
  readonly text?: string;
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
  /** Value of `Inference-Header-Content-Length`; absent when all of it is JSON. */
  readonly headerLength?: number;
  readonly contentType: 'application/json' | 'application/octet-stream';
}

export type JsonFields = Readonly<Record<string, unknown>>;

export interface DecodedMessage {
  readonly fields: JsonFields;
  readonly tensors: readonly V2Tensor[];
}

/**
 * Reads `body`, of which `headerLength` bytes are JSON (all of them when absent). The tensors are views of the body.
 * Throws `E_REQUEST` for what breaks the protocol, `E_LIMIT`, and `E_UNSUPPORTED` for shared memory.
 */
export function decodeMessage(body: Uint8Array, headerLength: number | undefined, list: 'inputs' | 'outputs'): DecodedMessage {
  if (headerLength !== undefined && (!Number.isSafeInteger(headerLength) || headerLength < 1 || headerLength > body.length)) {
    throw refused(`Inference-Header-Content-Length is ${headerLength}, and the body has ${body.length} bytes`, 'It is the number of bytes of JSON that the body begins with.');
  }
  const json = body.subarray(0, headerLength ?? body.length);
  const split = splitJson(json, list);
  if (typeof split.value !== 'object' || split.value === null || Array.isArray(split.value)) throw refused('the body is no JSON object');
  const fields = split.value as JsonFields;
  const items = fields[list];
  if (!Array.isArray(items)) throw refused(`"${list}" is ${items === undefined ? 'missing' : 'no list'}`);
  checkCount(items, list);
  const binary = new BinaryPart(body.subarray(json.length));
  const tensors = items.map((item: unknown, i) => readTensor(item, i, json, split, binary, list));
  binary.finish();
  checkUnique(tensors, list.slice(0, -1));
  return { fields, tensors };
}

/** Writes fields and tensors; those that `isBinary` names go behind the JSON. */
export function encodeMessage(fields: JsonFields, list: 'inputs' | 'outputs', tensors: readonly V2Tensor[], isBinary: (name: string) => boolean, after: JsonFields = {}): V2Body {
  const binary: Uint8Array[] = [];
  const items = tensors.map(({ name, tensor, parameters }) => {
    const head = { name, shape: tensor.shape, datatype: v2DatatypeOf(tensor.dtype) };
    if (!isBinary(name)) {
      const text = JSON.stringify({ ...head, ...(parameters && { parameters: plain(parameters) }) });
      return `${text.slice(0, -1)},"data":${tensorToJson(tensor, `${list.slice(0, -1)} ${JSON.stringify(name)}`)}}`;
    }
    binary.push(tensorToBytes(tensor));
    return JSON.stringify({ ...head, parameters: { ...(parameters && plain(parameters)), binary_data_size: wireSize(tensor) } });
  });
  const members = [fields, after].map((part) => JSON.stringify(part).slice(1, -1));
  const text = `{${[members[0], `"${list}":[${items.join(',')}]`, members[1]].filter(Boolean).join(',')}}`;
  if (binary.length === 0) return new JsonBody(text);
  const json = encoder.encode(text);
  const byteLength = binary.reduce((sum, { length }) => sum + length, json.length);
  return { parts: [json, ...binary], byteLength, headerLength: json.length, contentType: 'application/octet-stream' };
}

const encoder = new TextEncoder();

class JsonBody implements V2Body {
  readonly contentType = 'application/json';
  #bytes: Uint8Array | undefined;

  constructor(readonly text: string) {}

  get parts(): readonly Uint8Array[] {
    return [(this.#bytes ??= encoder.encode(this.text))];
  }

  get byteLength(): number {
    return this.parts[0]!.length;
  }
}

/** Parameters as JSON says them; int64 beyond 2^53 become the nearest number. */
export function plain(parameters: V2Parameters): Record<string, string | number | boolean> {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]));
}

function readTensor(item: unknown, i: number, json: Uint8Array, { ranges }: SplitJson, binary: BinaryPart, list: string): V2Tensor {
  const kind = list.slice(0, -1);
  if (typeof item !== 'object' || item === null || Array.isArray(item)) throw refused(`${kind} ${i} is no object`);
  const fields = item as JsonFields;
  const name = checkText(fields['name'], `the name of ${kind} ${i}`);
  const where = `${kind} ${JSON.stringify(name)}`;
  const datatype = checkDatatype(fields['datatype'], where);
  const { shape, count } = checkShape(fields['shape'], where);
  const { binary_data_size: size, ...others } = checkParameters(fields['parameters'], where) ?? {};
  const parameters = Object.keys(others).length > 0 && { parameters: others };
  const has = Object.hasOwn(fields, 'data');
  if (size === undefined && !has) throw refused(`${where} has no data`, 'Give `data`, or `parameters.binary_data_size` and the bytes behind the JSON.');
  if (size !== undefined && has) throw refused(`${where} has both data and binary_data_size`, 'Give one of them.');
  if (size === undefined) return { name, tensor: tensorFromJson(datatype, shape, count, json, ranges[fields['data'] as number]!, where), ...parameters };
  const expected = datatype === 'BYTES' ? size : sizeOf(datatype, count, where);
  if (size !== expected) throw refused(`binary_data_size of ${where} is ${String(size)} bytes, ${datatype} [${shape.join(', ')}] takes ${expected}`);
  return { name, tensor: tensorFromBytes(datatype, shape, count, binary.take(size, where), where), ...parameters };
}

/** The bytes behind the JSON, taken in the order of the tensors. */
class BinaryPart {
  #at = 0;

  constructor(readonly bytes: Uint8Array) {}

  take(size: unknown, where: string): Uint8Array {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw refused(`binary_data_size of ${where} is no size`);
    if (size > this.bytes.length - this.#at) {
      throw refused(`${where} asks for ${size} bytes behind the JSON, ${this.bytes.length - this.#at} are left`, 'Inference-Header-Content-Length is the length of the JSON; the tensors follow in the order of the inputs.');
    }
    return this.bytes.subarray(this.#at, (this.#at += size));
  }

  finish(): void {
    const rest = this.bytes.length - this.#at;
    if (rest > 0) throw refused(`${rest} bytes behind the JSON belong to no tensor`, 'The sizes in `binary_data_size` make up the rest of the body.');
  }
}

/** A name or id that may be absent; `empty` texts are as absent ones. */
export function optionalText(value: unknown, where: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = checkText(value, where, true);
  return text === '' ? undefined : text;
}
