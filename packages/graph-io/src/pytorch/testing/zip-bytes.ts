/** Zip archives for tests, byte by byte, with every lie a test may want to tell. */

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  /** The data as it stands in the archive, when it is deflated. */
  readonly deflated?: Uint8Array | undefined;
  /** Sizes and offset in the zip64 extra field of the directory. */
  readonly zip64?: boolean;
  /** Sizes behind the data, as torch writes them. */
  readonly descriptor?: boolean;
  /** What the directory says instead. */
  readonly lie?: { readonly size?: number; readonly storedSize?: number; readonly offset?: number; readonly name?: string; readonly method?: number; readonly flags?: number };
}

export interface ZipOptions {
  readonly prefix?: Uint8Array;
  readonly comment?: Uint8Array;
  readonly zip64?: boolean;
  readonly count?: number;
  /** Data starts at a multiple of it. */
  readonly align?: number;
}

export function zipBytes(parts: readonly ZipPart[], options: ZipOptions = {}): Uint8Array {
  const { prefix = new Uint8Array(), comment = new Uint8Array(), align = 1 } = options;
  const chunks: Uint8Array[] = [prefix];
  let at = prefix.byteLength;
  const add = (bytes: Uint8Array): void => {
    chunks.push(bytes);
    at += bytes.byteLength;
  };
  const directory: Uint8Array[] = [];
  for (const { name, data, deflated, zip64 = false, descriptor = false, lie = {} } of parts) {
    const stored = deflated ?? data;
    const nameBytes = new TextEncoder().encode(name);
    const start = at;
    const pad = (align - ((start + 30 + nameBytes.length) % align)) % align;
    const extra = pad === 0 ? 0 : pad < 4 ? pad + align : pad;
    const method = deflated ? 8 : 0;
    add(fields([4, 0x04034b50], [2, 20], [2, descriptor ? 8 : 0], [2, method], [4, 0], [4, 0], [4, descriptor ? 0 : stored.length], [4, descriptor ? 0 : data.length], [2, nameBytes.length], [2, extra]));
    add(nameBytes);
    if (extra) add(concat([fields([2, 0x4246], [2, extra - 4]), new Uint8Array(extra - 4)]));
    add(stored);
    if (descriptor) add(fields([4, 0x08074b50], [4, 0], [4, stored.length], [4, data.length]));
    const { size = data.length, storedSize = stored.length, offset = start, flags = 0 } = lie;
    const listed = new TextEncoder().encode(lie.name ?? name);
    const full = 0xffffffff;
    directory.push(fields(
      [4, 0x02014b50], [2, 20], [2, 20], [2, flags], [2, lie.method ?? method], [4, 0], [4, 0], [4, zip64 ? full : storedSize], [4, zip64 ? full : size],
      [2, listed.length], [2, zip64 ? 28 : 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, zip64 ? full : offset],
    ), listed);
    if (zip64) directory.push(fields([2, 1], [2, 24], [8, size], [8, storedSize], [8, offset]));
  }
  const directoryOffset = at;
  add(concat(directory));
  const size = at - directoryOffset;
  const count = options.count ?? parts.length;
  if (options.zip64) {
    const record = at;
    add(fields([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, directoryOffset]));
    add(fields([4, 0x07064b50], [4, 0], [8, record], [4, 1]));
  }
  const short = (value: number, full: number): number => (options.zip64 ? full : value);
  add(fields([4, 0x06054b50], [2, 0], [2, 0], [2, short(count, 0xffff)], [2, short(count, 0xffff)], [4, short(size, 0xffffffff)], [4, short(directoryOffset, 0xffffffff)], [2, comment.length]));
  add(comment);
  return concat(chunks);
}

/** Little-endian numbers of 2, 4 or 8 bytes. */
function fields(...list: readonly (readonly [width: number, value: number])[]): Uint8Array {
  const out = new Uint8Array(list.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [width, value] of list) {
    if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return out;
}

export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.byteLength;
  }
  return out;
}
