/** GGUF files for tests, right or deliberately wrong, byte by byte. */
const encoder = new TextEncoder();

/** One field of a header as bytes. */
export const gguf = {
  u8: (value: number): Uint8Array => Uint8Array.of(value),
  u32: (value: number, little = true): Uint8Array => fill(4, (view) => view.setUint32(0, value, little)),
  i32: (value: number): Uint8Array => fill(4, (view) => view.setInt32(0, value, true)),
  f32: (value: number): Uint8Array => fill(4, (view) => view.setFloat32(0, value, true)),
  u64: (value: bigint | number, little = true): Uint8Array => fill(8, (view) => view.setBigUint64(0, BigInt(value), little)),
  string: (text: string | Uint8Array): Uint8Array => {
    const bytes = typeof text === 'string' ? encoder.encode(text) : text;
    return join([gguf.u64(bytes.length), bytes]);
  },
  pair: (key: string, type: number, ...value: readonly Uint8Array[]): Uint8Array => join([gguf.string(key), gguf.u32(type), ...value]),
  info: (name: string, dims: readonly (number | bigint)[], type: number, offset: number | bigint): Uint8Array =>
    join([gguf.string(name), gguf.u32(dims.length), ...dims.map((dim) => gguf.u64(dim)), gguf.u32(type), gguf.u64(offset)]),
};

export interface GgufParts {
  readonly version?: number;
  readonly pairs?: readonly Uint8Array[];
  readonly infos?: readonly Uint8Array[];
  /** Bytes of zeros after the padded header. */
  readonly data?: number;
}

export function ggufBytes({ version = 3, pairs = [], infos = [], data = 0 }: GgufParts): Uint8Array {
  const head = join([encoder.encode('GGUF'), gguf.u32(version), gguf.u64(infos.length), gguf.u64(pairs.length), ...pairs, ...infos]);
  return join([head, new Uint8Array((32 - (head.length % 32)) % 32 + data)]);
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function fill(bytes: number, write: (view: DataView) => void): Uint8Array {
  const out = new Uint8Array(bytes);
  write(new DataView(out.buffer));
  return out;
}
