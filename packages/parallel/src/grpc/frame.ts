/** One message of a stream between stages: a V2 message whose parameters say whose it is, with checksums over all of it. */
import * as zlib from 'node:zlib';
import { decodeText, DenseTensor, encodeText, PenjingError, type StringTensor } from '@penjing/core';
import {
  crc32 as plainCrc32, decodeGrpcInferRequest, decodeGrpcInferResponse, encodeGrpcInferRequest, encodeGrpcInferResponse, tensorToBytes, type V2Parameter, type V2Parameters, type V2Tensor,
} from '@penjing/graph-io/v2';

/** Towards the next stage (ModelInferRequest), or back (ModelInferResponse). */
export type Direction = 'request' | 'response';

const kinds = {
  /** Opens a stream. */
  hello: 'request',
  /** Tensors for the stages from here on. */
  run: 'request',
  /** Nobody waits for the result of a request any more. */
  cancel: 'request',
  /** The stages from here on take requests; says what they take and give. */
  ready: 'response',
  /** They do not, for now; says why. */
  waiting: 'response',
  /** Tensors that were made. */
  result: 'response',
  /** A request failed. */
  error: 'response',
} as const satisfies Record<string, Direction>;

export type FrameKind = keyof typeof kinds;

export interface Frame {
  readonly kind: FrameKind;
  /** Of the plan; another one is refused. */
  readonly epoch: number;
  /** Counted from 1 by the client of a stream; 0: about the stream itself. */
  readonly request: number;
  /** Pieces of a request or a result are counted from 0 and follow each other. */
  readonly piece: number;
  readonly last: boolean;
  readonly tensors: readonly V2Tensor[];
  /** Names of the outputs wanted, in a `run`. */
  readonly outputs?: readonly string[];
  /** What else a frame says. */
  readonly facts?: V2Parameters;
}

/** A frame that was read. Its head is as it was sent; `intact` says whether its tensors are. */
export type ReadFrame = Frame & { readonly intact: boolean };

/** Node has one since 20.15 and 22.2. */
export const crc32: (bytes: Uint8Array, before?: number) => number = (zlib as Partial<typeof zlib>).crc32 ?? plainCrc32;

/** Names that a frame needs for itself. */
const own = ['kind', 'epoch', 'piece', 'last', 'crc', 'head'] as const;

export function encodeFrame(frame: Frame): Uint8Array {
  const { kind, epoch, request, piece, last, tensors, outputs, facts } = frame;
  const parameters = { ...facts, kind, epoch, piece, last, crc: payloadCrc(tensors) };
  const head = headCrc({ id: String(request), parameters, tensors, outputs });
  const message = { id: String(request), parameters: { ...parameters, head } };
  return kinds[kind] === 'request'
    ? encodeGrpcInferRequest({ ...message, inputs: tensors, ...(outputs && { outputs: outputs.map((name) => ({ name })) }) })
    : encodeGrpcInferResponse({ ...message, outputs: tensors });
}

/**
 * Reads a frame; its tensors are views of `bytes`. Throws `E_REQUEST`, `E_LIMIT` or `E_CHECKSUM` when it cannot be told whose it is: the stream
 * is of no use then. Tensors that were damaged are told by `intact`, since the request they belong to is known.
 */
export function decodeFrame(direction: Direction, bytes: Uint8Array): ReadFrame {
  const { id = '', parameters = {}, tensors, outputs } = read(direction, bytes);
  const { head, ...rest } = parameters;
  if (head !== headCrc({ id, parameters: rest, tensors, outputs })) throw new PenjingError('E_CHECKSUM', 'the head of a frame was damaged on its way', { hint: 'Look at the network; with TLS damage is found before it comes here.' });
  const { kind, epoch, piece, last, crc } = rest;
  if (typeof kind !== 'string' || !Object.hasOwn(kinds, kind) || kinds[kind as FrameKind] !== direction) throw broken(`its kind is ${String(kind).slice(0, 32)}`);
  if (typeof last !== 'boolean') throw broken('it does not say whether it is the last piece');
  const facts = Object.fromEntries(Object.entries(rest).filter(([name]) => !(own as readonly string[]).includes(name)));
  return {
    kind: kind as FrameKind, epoch: count(epoch, 'epoch'), request: count(/^\d{1,15}$/.test(id) ? Number(id) : undefined, 'request'), piece: count(piece, 'piece'), last, tensors, facts,
    intact: crc === payloadCrc(tensors), ...(outputs && { outputs }),
  };
}

/** Bytes that a frame's own checks are about. */
export interface Message {
  readonly id?: string;
  readonly parameters?: V2Parameters;
  readonly tensors: readonly V2Tensor[];
  readonly outputs?: readonly string[] | undefined;
}

function read(direction: Direction, bytes: Uint8Array): Message {
  if (direction === 'response') {
    const { outputs, ...rest } = decodeGrpcInferResponse(bytes);
    return { ...rest, tensors: outputs };
  }
  const { inputs, outputs, ...rest } = decodeGrpcInferRequest(bytes);
  return { ...rest, tensors: inputs, outputs: outputs?.map(({ name }) => name) };
}

/** Of all that is said about the tensors: a flipped bit here could give them to another request. */
function headCrc({ id, parameters, tensors, outputs }: Message): number {
  const facts = [id, Object.entries(parameters ?? {}), tensors.map(({ name, tensor, parameters: its }) => [name, tensor.dtype, tensor.shape, Object.entries(its ?? {})]), outputs ?? null];
  return crc32(encodeText(JSON.stringify(facts, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))));
}

/** Of an empty buffer zlib may be given no address at all, and begins anew: those are left out. */
function payloadCrc(tensors: readonly V2Tensor[]): number {
  return tensors.map(({ tensor }) => tensorToBytes(tensor)).reduce((sum, bytes) => (bytes.length === 0 ? sum : crc32(bytes, sum)), 0);
}

function count(value: V2Parameter | undefined, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw broken(`its ${what} is no count`);
  return value;
}

export function broken(why: string): PenjingError {
  return new PenjingError('E_REQUEST', `a frame breaks the protocol: ${why}`, { hint: 'Stages and their clients must be of the same version of Penjing.' });
}

/** A text too long for a parameter, as a tensor of bytes. */
export function textTensor(name: string, text: string): V2Tensor {
  const bytes = encodeText(text);
  return { name, tensor: new DenseTensor('uint8', [bytes.length], bytes) };
}

export function textOf(tensor: DenseTensor | StringTensor | undefined): string {
  if (tensor?.kind !== 'dense') throw broken('a text is missing');
  return decodeText(tensor.bytes);
}
