/** Recognises a model file by its first bytes; the name of a file is never asked. */

/** Formats that are told apart; not all of them can be read yet. */
export type FormatName = 'onnx' | 'safetensors' | 'gguf' | 'tflite' | 'pytorch' | 'pickle' | 'gzip' | 'hdf5' | 'unknown';

/** Bytes of a file's head that `sniffFormat` wants; fewer are enough for a shorter file. */
export const SNIFF_BYTES = 512;

interface FormatRule {
  readonly name: FormatName;
  readonly matches: (head: Uint8Array, fileSize: number) => boolean;
}

/** In order: formats with a magic number first, the ones that are only plausible last. */
const formats: readonly FormatRule[] = [
  { name: 'gguf', matches: (head) => startsWith(head, 'GGUF') || startsWith(head, 'FUGG') },
  { name: 'tflite', matches: (head) => startsWith(head.subarray(4), 'TFL3') },
  { name: 'hdf5', matches: (head) => startsWith(head, '\x89HDF\r\n\x1a\n') },
  { name: 'gzip', matches: (head) => head[0] === 0x1f && head[1] === 0x8b },
  { name: 'pytorch', matches: (head) => startsWith(head, 'PK\x03\x04') },
  // A tar archive, as torch wrote until 2017.
  { name: 'pytorch', matches: (head) => startsWith(head.subarray(257), 'ustar') },
  // Protocol 2 and later of pickle; torch's files before 1.6 start so.
  { name: 'pickle', matches: (head) => head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5 },
  { name: 'safetensors', matches: isSafetensors },
  { name: 'onnx', matches: isOnnx },
];

/** `head`: the first `SNIFF_BYTES` bytes, or the whole file when it is shorter. */
export function sniffFormat(head: Uint8Array, fileSize: number): FormatName {
  return formats.find((format) => format.matches(head, fileSize))?.name ?? 'unknown';
}

function startsWith(head: Uint8Array, magic: string): boolean {
  return head.length >= magic.length && [...magic].every((char, i) => head[i] === char.charCodeAt(0));
}

/** A header length that fits into the file, followed by a JSON object. */
function isSafetensors(head: Uint8Array, fileSize: number): boolean {
  if (head.length < 9 || head[8] !== 0x7b) return false;
  const length = new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true);
  return length <= BigInt(fileSize);
}

/** ModelProto: known field numbers with their wire types at the start of the message. */
function isOnnx(head: Uint8Array): boolean {
  const [tag = 0] = head;
  const field = tag >> 3;
  const wire = tag & 7;
  if (field === 1 || field === 5) return wire === 0;
  return [2, 3, 4, 6, 7, 8, 14, 20, 25].includes(field) && wire === 2;
}
