/** The journal of a save: one line per finished chunk with the hashes of its bytes. Trusted only after a check. */
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { QuantizeStats } from '@penjing/core';
import { ioError } from './io-error.js';

export interface JournalEntry {
  readonly group: number;
  readonly chunk: number;
  /** CRC-32 of the bytes of each output. */
  readonly crcs: readonly number[];
  readonly stats: QuantizeStats | undefined;
}

/** Stats as numbers; JSON has no Infinity, so that is a text. */
type StatsLine = readonly (number | string)[];

interface Line {
  readonly g: number;
  readonly c: number;
  readonly crc: readonly number[];
  readonly s?: StatsLine;
}

/** The entries of a journal with this key; undefined when there is none, or one of another plan. */
export async function readJournal(path: string, key: string): Promise<Map<string, JournalEntry> | undefined> {
  const entries = new Map<string, JournalEntry>();
  let first = true;
  try {
    for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      const line = parseLine(text);
      if (first) {
        if ((line as { key?: unknown } | undefined)?.key !== key) return undefined;
        first = false;
      } else if (line && 'g' in line) {
        entries.set(entryKey(line.g, line.c), { group: line.g, chunk: line.c, crcs: line.crc, stats: line.s && readStats(line.s) });
      }
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(cause, path);
  }
  return first ? undefined : entries;
}

/** The process may have been killed inside a line. */
function parseLine(text: string): Line | object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

export function entryKey(group: number, chunk: number): string {
  return `${group} ${chunk}`;
}

export class Journal implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  /** Lines that wait for the write before them. */
  #waiting = '';
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** Starts a journal, or appends to one. */
  static async open(path: string, key: string, append: boolean): Promise<Journal> {
    try {
      const journal = new Journal(await open(path, append ? 'a' : 'w'), path);
      // A line of its own also ends a line that was cut off.
      await journal.#file.write(append ? '\n' : `${JSON.stringify({ key })}\n`);
      return journal;
    } catch (cause) {
      throw ioError(cause, path);
    }
  }

  async add({ group, chunk, crcs, stats }: JournalEntry): Promise<void> {
    const line: Line = { g: group, c: chunk, crc: crcs, ...(stats && { s: writeStats(stats) }) };
    this.#waiting += `${JSON.stringify(line)}\n`;
    const written = this.#writing.then(async () => {
      const text = this.#waiting;
      this.#waiting = '';
      if (text !== '') await this.#file.write(text);
    });
    this.#writing = written.catch(() => undefined);
    await written.catch((cause: unknown) => {
      throw ioError(cause, this.#path);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }
}

function writeStats({ sumSquares, sumSquaredError, maxError, nonFinite }: QuantizeStats): StatsLine {
  return [sumSquares, sumSquaredError, maxError, nonFinite].map((value) => (Number.isFinite(value) ? value : String(value)));
}

function readStats(line: StatsLine): QuantizeStats {
  const [sumSquares = 0, sumSquaredError = 0, maxError = 0, nonFinite = 0] = line.map(Number);
  return { sumSquares, sumSquaredError, maxError, nonFinite };
}
