/** The stack, the memo and the bytes of a pickle while it is read. */
import { PenjingError } from '@penjing/core';
import { pickleLimits } from '../limits.js';
import { describe, isKind, itemsOf, type PyGlobal, PyObject, type PyValue } from './values.js';

/** What a file may ask for. */
export interface PickleRules {
  /** A class or function by its full name. Throws for what must not even be named. */
  find(module: string, name: string): PyGlobal;
  /** The result of calling one; undefined when it is not on the list. */
  call(name: string, args: readonly PyValue[]): PyValue | undefined;
  /** An object outside of the pickle. */
  persistent(id: PyValue): PyValue;
  /** Sets the state of what `call` or `persistent` made; false when such a value has none. */
  build(value: PyValue, state: PyValue): boolean;
}

/** Tells that the pickle goes on behind the bytes given. */
export class PickleEndsEarly extends Error {}

export class PickleMachine {
  readonly rules: PickleRules;
  stopped = false;
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #uri: string;
  #stack: PyValue[] = [];
  /** Stacks below the marks. */
  readonly #below: PyValue[][] = [];
  #onStack = 0;
  #made = 0;
  readonly #memo = new Map<number, PyValue>();

  constructor(bytes: Uint8Array, rules: PickleRules, uri: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.rules = rules;
    this.#uri = uri;
  }

  // Reading.

  take(count: number): Uint8Array {
    const end = this.position + count;
    if (end > this.#bytes.byteLength) throw new PickleEndsEarly();
    const bytes = this.#bytes.subarray(this.position, end);
    this.position = end;
    return bytes;
  }

  #number<T>(width: number, read: (view: DataView, at: number) => T): T {
    const at = this.position;
    this.take(width);
    return read(this.#view, at);
  }

  byte(): number {
    return this.#number(1, (view, at) => view.getUint8(at));
  }

  uint16(): number {
    return this.#number(2, (view, at) => view.getUint16(at, true));
  }

  int32(): number {
    return this.#number(4, (view, at) => view.getInt32(at, true));
  }

  uint32(): number {
    return this.#number(4, (view, at) => view.getUint32(at, true));
  }

  uint64(): number {
    const value = this.#number(8, (view, at) => view.getBigUint64(at, true));
    if (value > BigInt(pickleLimits.bytes)) throw this.invalid(`it declares a value of ${value} bytes`);
    return Number(value);
  }

  /** Big-endian, as pickles have it. */
  float64(): number {
    return this.#number(8, (view, at) => view.getFloat64(at, false));
  }

  /** Up to the next line feed, which is dropped. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new PickleEndsEarly();
    const line = this.text(end - this.position);
    this.position++;
    return line;
  }

  text(count: number): string {
    const bytes = this.take(count);
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw this.invalid(`the text at byte ${this.position - count} is not UTF-8`, cause);
    }
  }

  /** Two's complement, little-endian. */
  integer(count: number): number | bigint {
    if (count > pickleLimits.integerBytes) throw this.limit(`an integer of ${count} bytes`, 'integerBytes');
    const bytes = this.take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return smallest(BigInt.asIntN(8 * count, value));
  }

  // The stack.

  push(value: PyValue): void {
    if (++this.#made > pickleLimits.values) throw this.limit('more values', 'values');
    if (++this.#onStack > pickleLimits.stack) throw this.limit('more values on its stack', 'stack');
    this.#stack.push(value);
  }

  pop(): PyValue {
    const value = this.#stack.pop();
    if (value === undefined) throw this.invalid(`byte ${this.position - 1} takes a value from an empty stack`);
    this.#onStack--;
    return value;
  }

  top(): PyValue {
    const value = this.#stack.at(-1);
    if (value === undefined) throw this.invalid(`byte ${this.position - 1} looks at an empty stack`);
    return value;
  }

  mark(): void {
    if (this.#below.length >= pickleLimits.marks) throw this.limit('more containers inside each other', 'marks');
    this.#below.push(this.#stack);
    this.#stack = [];
  }

  /** Everything above the last mark, which goes. */
  popMark(): PyValue[] {
    const items = this.#stack;
    const below = this.#below.pop();
    if (!below) throw this.invalid(`byte ${this.position - 1} needs a mark, and there is none`);
    this.#stack = below;
    this.#onStack -= items.length;
    return items;
  }

  popItems(count: number): PyValue[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  dropTop(): void {
    if (this.#stack.length === 0) this.popMark();
    else this.pop();
  }

  result(): PyValue {
    return this.pop();
  }

  // The memo.

  memoize(index = this.#memo.size): void {
    if (this.#memo.size >= pickleLimits.values) throw this.limit('more remembered values', 'values');
    this.#memo.set(index, this.top());
  }

  remembered(index: number): PyValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.invalid(`it refers to value ${index}, which it did not remember`);
    return value;
  }

  // Objects.

  find(module: PyValue, name: PyValue): PyGlobal {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.invalid('the name of a class is no text');
    return this.rules.find(module, name);
  }

  /** Never a call: the table of the rules makes the value, or the pickle is refused. */
  call(callee: PyValue, args: PyValue): PyValue {
    const items = this.args(args);
    this.#charge(items);
    if (isKind(callee, 'object')) throw unsafe(this.#uri, callee.type, 'call');
    if (!isKind(callee, 'global')) throw this.invalid(`it calls ${describe(callee)}, which is no class or function`);
    const value = this.rules.call(callee.name, items);
    if (value === undefined) throw unsafe(this.#uri, callee.name, 'call');
    return value;
  }

  /** An object without its constructor having run: a record of any class that may be named. */
  instance(type: PyValue, args: PyValue): PyValue {
    const items = this.args(args);
    this.#charge(items);
    if (!isKind(type, 'global')) throw this.invalid(`it makes an instance of ${describe(type)}, which is no class`);
    return this.rules.call(type.name, items) ?? new PyObject(type.name, items);
  }

  /** What is called may copy its arguments, and a pickle may ask for that again and again. */
  #charge(items: readonly PyValue[]): void {
    for (const item of items) {
      const length = typeof item === 'string' ? item.length : item instanceof Uint8Array ? item.byteLength : 0;
      this.#made += length / 32 + (itemsOf(item)?.length ?? (isKind(item, 'dict') ? item.entries.size : 0));
    }
    if (this.#made > pickleLimits.values) throw this.limit('more values', 'values');
  }

  args(value: PyValue): readonly PyValue[] {
    if (!isKind(value, 'tuple')) throw this.invalid(`${describe(value)} stands where arguments should`);
    return value.items;
  }

  build(): void {
    const state = this.pop();
    const target = this.top();
    if (isKind(target, 'object')) target.state = state;
    else if (!this.rules.build(target, state)) throw this.invalid(`it sets the state of ${describe(target)}`);
  }

  append(items: readonly PyValue[]): void {
    const target = this.top();
    if (!isKind(target, 'list') && !isKind(target, 'set') && !isKind(target, 'object')) throw this.invalid(`it appends to ${describe(target)}`);
    for (const item of items) target.items.push(item);
  }

  setItems(items: readonly PyValue[]): void {
    const target = this.top();
    if (items.length % 2 !== 0) throw this.invalid('a key has no value');
    const dict = isKind(target, 'object') ? target.dict : target;
    if (!isKind(dict, 'dict')) throw this.invalid(`it sets items of ${describe(target)}`);
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  }

  // Failures.

  invalid(why: string, cause?: unknown): PenjingError {
    return invalidPickle(this.#uri, why, cause);
  }

  limit(what: string, name: keyof typeof pickleLimits): PenjingError {
    return new PenjingError('E_LIMIT', `the pickle in ${this.#uri} asks for ${what}, at most ${pickleLimits[name]} are read`, {
      hint: 'This is no checkpoint that torch would write; save the state dict alone: torch.save(model.state_dict(), …).',
    });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function smallest(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

export function invalidPickle(uri: string, why: string, cause?: unknown): PenjingError {
  return new PenjingError('E_PICKLE', `the pickle in ${uri} cannot be read: ${why}`, { cause, hint: 'Download or save the file again.' });
}

/** A pickle that wants code run. Nothing was. */
export function unsafe(uri: string, name: string, how: 'call' | 'name'): PenjingError {
  const wants = how === 'call' ? `wants ${name} to be called` : `names ${name}, which is no data`;
  return new PenjingError('E_UNSAFE', `the pickle in ${uri} ${wants}; nothing was run`, {
    hint: 'If you trust the file, save its weights alone where it came from: torch.save(model.state_dict(), …). Otherwise delete it.',
    details: { global: name },
  });
}
