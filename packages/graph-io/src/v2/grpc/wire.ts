/** Bytes of V2 messages to objects and back, against the limits of requests. */
import { onnxLimits, v2Limits } from '../../limits.js';
import { Budget, decodeFields, newReader, type WireFormat } from '../../onnx/decode.js';
import { encodeMessage as encodePieces } from '../../onnx/encode.js';
import type { AnyMessage, Payload, Schema } from '../../onnx/message.js';

const format: WireFormat = { code: 'E_REQUEST', name: 'message', hint: 'Messages are those of package `inference`, the Open Inference Protocol V2.' };
const limits = { ...onnxLimits, nesting: v2Limits.nesting, messages: v2Limits.messages, scalars: v2Limits.scalars };

/** Reads a message. Payloads are ranges of `bytes` (see `payloadBytes`). Throws `E_REQUEST` or `E_LIMIT`. */
export function decodeWire<T extends object>(schema: Schema<T>, bytes: Uint8Array): T {
  const target: AnyMessage = {};
  decodeFields(schema, target, { reader: newReader(bytes), base: 0, budget: new Budget(limits, format) }, 0);
  return target as T;
}

/** Writes a message in one buffer. */
export function encodeWire<T extends object>(schema: Schema<T>, message: T): Uint8Array {
  const { pieces, size } = encodePieces(schema, message);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    const part = piece instanceof Uint8Array ? piece : piece.bytes!;
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The bytes of a payload of the message in `whole`, not copied when they stand in it in one piece. */
export function payloadBytes(whole: Uint8Array, { bytes, offset, length }: Payload): Uint8Array {
  return offset < 0 ? bytes!.subarray(0, length) : whole.subarray(offset, offset + length);
}

export const payloadOf = (bytes: Uint8Array): Payload => ({ length: bytes.length, offset: -1, bytes });
