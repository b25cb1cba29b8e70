/** Checksums that stand inside of a file: combined from those of what was written, or computed by the threads from what is there. */
import { open } from 'node:fs/promises';
import { combineCrc32 } from '../crc32.js';
import type { FileLayout } from '../layout.js';
import { fastCrc32 } from './fast-crc32.js';
import type { OutputFile } from './output-file.js';
import type { Pool } from './pool.js';

const READ_BYTES = 2 ** 20;

/** Checksums of stretches of the files with checksums inside, collected while they are written: nothing large is read again. */
export class WrittenChecksums {
  /** By file and start. */
  readonly #stretches: (Map<number, { readonly length: number; readonly crc: number }> | undefined)[];

  constructor(files: readonly FileLayout[]) {
    this.#stretches = files.map(({ pieces }) => (pieces.some(({ kind }) => kind === 'crc32') ? new Map() : undefined));
  }

  add(file: number, start: number, length: number, crc: number): void {
    if (length > 0) this.#stretches[file]?.set(start, { length, crc });
  }

  /** Undefined unless stretches cover exactly [start, end). */
  of(file: number, start: number, end: number): number | undefined {
    let crc: number | undefined;
    for (let at = start; at < end; ) {
      const next = this.#stretches[file]?.get(at);
      if (!next) return undefined;
      crc = crc === undefined ? next.crc : combineCrc32(crc, next.crc, next.length);
      at += next.length;
      if (at > end) return undefined;
    }
    return crc;
  }
}

/** Each range once, however many places its checksum has. */
export async function writeChecksums(
  files: readonly FileLayout[], outputs: readonly OutputFile[], written: WrittenChecksums, pool: Pick<Pool, 'threads'>, signal: AbortSignal | undefined,
): Promise<void> {
  for (const [i, { pieces }] of files.entries()) {
    const output = outputs[i]!;
    const places = new Map<string, { start: number; end: number; offsets: number[] }>();
    for (const piece of pieces) {
      if (piece.kind !== 'crc32') continue;
      const key = `${piece.start}-${piece.end}`;
      const place = places.get(key);
      if (place) place.offsets.push(piece.offset);
      else places.set(key, { start: piece.start, end: piece.end, offsets: [piece.offset] });
    }
    const queue = places.values();
    const lane = async (checksum: (start: number, end: number) => Promise<number>): Promise<void> => {
      for (const { start, end, offsets } of queue) {
        signal?.throwIfAborted();
        const bytes = new Uint8Array(4);
        new DataView(bytes.buffer).setUint32(0, written.of(i, start, end) ?? (await checksum(start, end)), true);
        for (const offset of offsets) await output.write(bytes, offset);
      }
    };
    if (pool.threads.length === 0) await lane((start, end) => here(output.path, start, end));
    else {
      await Promise.all(pool.threads.map((thread) => lane(async (start, end) => {
        const [crc] = await thread.call('checksum', [{ path: output.path, offset: start, length: end - start }]);
        return crc!;
      })));
    }
  }
}

/** On the calling thread: a save without threads is a small one. */
async function here(path: string, start: number, end: number): Promise<number> {
  const file = await open(path, 'r');
  try {
    const buffer = new Uint8Array(Math.min(READ_BYTES, end - start));
    let crc = 0;
    for (let at = start; at < end; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) throw new Error(`${path} ends at ${at}`);
      crc = fastCrc32(buffer.subarray(0, bytesRead), crc);
      at += bytesRead;
    }
    return crc;
  } finally {
    await file.close();
  }
}
