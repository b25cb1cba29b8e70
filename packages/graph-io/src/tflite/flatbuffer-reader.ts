/** Reads FlatBuffer tables from a byte source: only the pages that tables stand on, every offset checked before it is followed. */
import { type ByteSource, decodeText, PenjingError } from '@penjing/core';
import { tfliteLimits, type TfliteLimits } from '../limits.js';
import { type AnyField, type AnyTable, type ByteRange, type ElementType, type ReadOf, widths } from './field-table.js';

/** Structure is small and lies together, weights lie between: pages keep the weights out of memory. */
const PAGE_BYTES = 1 << 16;
/** Pages kept between tables. */
const PAGES_KEPT = 128;

/** A table of the file: where it starts and where its fields stand. */
export interface TablePosition {
  readonly at: number;
  readonly vtable: number;
  readonly vtableBytes: number;
  readonly tableBytes: number;
}

class PageMissing extends Error {
  constructor(readonly page: number) {
    super(`page ${page} is not in memory`);
  }
}

/**
 * All positions are absolute. `read` runs a synchronous parse and runs it again whenever a page was missing, so a parse must have no other
 * effect than its result. Throws `E_TFLITE` for offsets outside the file and malformed tables, `E_LIMIT` for more than the limits allow.
 */
export class FlatBufferReader {
  readonly source: ByteSource;
  readonly limits: TfliteLimits;
  readonly #pages = new Map<number, DataView>();
  #tables = 0;
  #scalars = 0;
  #textBytes = 0;

  constructor(source: ByteSource, limits: TfliteLimits = tfliteLimits) {
    this.source = source;
    this.limits = limits;
  }

  async read<T>(parse: () => T): Promise<T> {
    // The budgets count what a finished parse took, not its repetitions.
    const [tables, scalars, textBytes] = [this.#tables, this.#scalars, this.#textBytes];
    for (;;) {
      try {
        const result = parse();
        this.#evict();
        return result;
      } catch (error) {
        if (!(error instanceof PageMissing)) throw error;
        [this.#tables, this.#scalars, this.#textBytes] = [tables, scalars, textBytes];
        if (this.#pages.size * PAGE_BYTES > this.limits.tableBytes) throw this.limit(`one table spreads over more than ${this.limits.tableBytes} bytes`);
        const start = error.page * PAGE_BYTES;
        const bytes = await this.source.read(start, Math.min(PAGE_BYTES, this.source.size - start));
        this.#pages.set(error.page, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      }
    }
  }

  /** The root table; the file must name `identifier`. */
  root(identifier: string): TablePosition {
    if (this.source.size < 8) throw this.invalid(`it has ${this.source.size} bytes, too few for a FlatBuffer`);
    const name = String.fromCharCode(...[4, 5, 6, 7].map((at) => this.scalar(at, 'uint8') as number));
    if (name !== identifier) throw this.invalid(`its identifier is ${JSON.stringify(name)}, not ${identifier}`);
    return this.table(this.#follow(0));
  }

  table(at: number): TablePosition {
    if (++this.#tables > this.limits.tables) throw this.limit(`it has more than ${this.limits.tables} tables`);
    this.#check(at, 4);
    const vtable = at - (this.scalar(at, 'int32') as number);
    this.#check(vtable, 4);
    const vtableBytes = this.#uint16(vtable);
    const tableBytes = this.#uint16(vtable + 2);
    if (vtableBytes < 4 || vtableBytes % 2 !== 0 || tableBytes < 4) throw this.invalid(`the table at byte ${at} has a malformed field list`);
    this.#check(vtable, vtableBytes);
    this.#check(at, tableBytes);
    return { at, vtable, vtableBytes, tableBytes };
  }

  /** Where field `id` stands; undefined when the table has none. `bytes` is its inline size. */
  field(table: TablePosition, id: number, bytes: number): number | undefined {
    const slot = 4 + 2 * id;
    if (slot + 2 > table.vtableBytes) return undefined;
    const offset = this.#uint16(table.vtable + slot);
    if (offset === 0) return undefined;
    if (offset < 4 || offset + bytes > table.tableBytes) throw this.invalid(`field ${id} of the table at byte ${table.at} lies outside of it`);
    return table.at + offset;
  }

  /** Start and count of the vector that field `id` refers to. */
  vector(table: TablePosition, id: number, width: number): { readonly at: number; readonly count: number } | undefined {
    const at = this.field(table, id, 4);
    if (at === undefined) return undefined;
    const start = this.#follow(at);
    this.#check(start, 4);
    const count = this.scalar(start, 'uint32') as number;
    this.#check(start + 4, count * width);
    return { at: start + 4, count };
  }

  /** Positions of the tables in a vector of tables. */
  tables(table: TablePosition, id: number): number[] | undefined {
    const found = this.vector(table, id, 4);
    if (!found) return undefined;
    this.#count(found.count);
    return Array.from({ length: found.count }, (_, i) => this.#follow(found.at + 4 * i));
  }

  /** All fields of a table, nested tables too. */
  value<T extends AnyTable>(of: T, at: number): ReadOf<T> {
    const position = this.table(at);
    const out: Record<string, unknown> = {};
    for (const name in of.fields) out[name] = this.#field(of.fields[name]!, position);
    return out as ReadOf<T>;
  }

  #field(field: AnyField, table: TablePosition): unknown {
    switch (field.kind) {
      case 'scalar': {
        const at = this.field(table, field.id, widths[field.type!]);
        return at === undefined ? field.fallback : this.scalar(at, field.type!);
      }
      case 'scalars': return this.#scalarList(table, field.id, field.type!);
      case 'bytes': {
        const found = this.vector(table, field.id, 1);
        return found && ({ offset: found.at, length: found.count } satisfies ByteRange);
      }
      case 'string': {
        const found = this.vector(table, field.id, 1);
        return found && this.#text(found.at, found.count);
      }
      case 'table': {
        const at = this.field(table, field.id, 4);
        return at === undefined ? undefined : this.value(field.of!, this.#follow(at));
      }
      case 'tables': return this.tables(table, field.id)?.map((at) => this.value(field.of!, at));
      case 'union': return this.#union(field, table);
    }
  }

  /** A member that this version does not know reads as absent. */
  #union(field: AnyField, table: TablePosition): unknown {
    const typeAt = this.field(table, field.id, 1);
    const valueAt = this.field(table, field.id + 1, 4);
    if (typeAt === undefined || valueAt === undefined) return undefined;
    const member = Object.entries(field.members!)[(this.scalar(typeAt, 'uint8') as number) - 1];
    return member && { type: member[0], value: this.value(member[1], this.#follow(valueAt)) };
  }

  #scalarList(table: TablePosition, id: number, type: ElementType): number[] | undefined {
    const found = this.vector(table, id, widths[type]);
    if (!found) return undefined;
    this.#count(found.count);
    return Array.from({ length: found.count }, (_, i) => Number(this.scalar(found.at + i * widths[type], type)));
  }

  #text(at: number, count: number): string {
    if ((this.#textBytes += count) > this.limits.textBytes) throw this.limit(`its names take more than ${this.limits.textBytes} bytes`);
    return decodeText(Uint8Array.from({ length: count }, (_, i) => this.scalar(at + i, 'uint8') as number));
  }

  scalar(at: number, type: ElementType): number | boolean {
    const width = widths[type];
    // A scalar of a malformed file may cross two pages.
    if (Math.floor(at / PAGE_BYTES) !== Math.floor((at + width - 1) / PAGE_BYTES)) return this.#decode(this.#gather(at, width), 0, type);
    return this.#decode(this.#page(Math.floor(at / PAGE_BYTES)), at % PAGE_BYTES, type);
  }

  #decode(view: DataView, at: number, type: ElementType): number | boolean {
    switch (type) {
      case 'bool': return view.getUint8(at) !== 0;
      case 'int8': return view.getInt8(at);
      case 'uint8': return view.getUint8(at);
      case 'uint16': return view.getUint16(at, true);
      case 'int32': return view.getInt32(at, true);
      case 'uint32': return view.getUint32(at, true);
      case 'float32': return view.getFloat32(at, true);
      case 'int64': case 'uint64': {
        const value = Number(type === 'int64' ? view.getBigInt64(at, true) : view.getBigUint64(at, true));
        if (!Number.isSafeInteger(value)) throw this.limit(`it holds the number ${value}, beyond 2^53`);
        return value;
      }
    }
  }

  #uint16(at: number): number {
    return this.scalar(at, 'uint16') as number;
  }

  #gather(at: number, width: number): DataView {
    const bytes = Uint8Array.from({ length: width }, (_, i) => this.#page(Math.floor((at + i) / PAGE_BYTES)).getUint8((at + i) % PAGE_BYTES));
    return new DataView(bytes.buffer);
  }

  #page(index: number): DataView {
    const page = this.#pages.get(index);
    if (!page) throw new PageMissing(index);
    return page;
  }

  #evict(): void {
    for (const key of this.#pages.keys()) {
      if (this.#pages.size <= PAGES_KEPT) return;
      this.#pages.delete(key);
    }
  }

  /** Target of the offset at `at`; offsets point forward. */
  #follow(at: number): number {
    this.#check(at, 4);
    const offset = this.scalar(at, 'uint32') as number;
    if (offset === 0) throw this.invalid(`the offset at byte ${at} points to itself`);
    return at + offset;
  }

  #count(scalars: number): void {
    if ((this.#scalars += scalars) > this.limits.scalars) throw this.limit(`its lists hold more than ${this.limits.scalars} numbers`);
  }

  #check(at: number, length: number): void {
    if (at < 0 || at + length > this.source.size) throw this.invalid(`bytes ${at}+${length} lie outside its ${this.source.size} bytes`);
  }

  invalid(why: string): PenjingError {
    return new PenjingError('E_TFLITE', `${this.source.uri} is no valid TFLite file: ${why}`, { hint: 'Download or export the file again.' });
  }

  limit(why: string): PenjingError {
    return new PenjingError('E_LIMIT', `${this.source.uri}: ${why}`, { hint: 'No real model needs this; the file is damaged or hostile.' });
  }
}
