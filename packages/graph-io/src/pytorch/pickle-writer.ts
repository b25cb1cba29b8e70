/** Writes pickles of protocol 2, the one torch.save uses: numbers, texts, tuples, classes and calls of them. */

const LATIN = new TextEncoder();

export class PickleWriter {
  readonly #chunks: Uint8Array[] = [];
  readonly #memo = new Map<string, number>();

  constructor() {
    this.op(0x80, 2);
  }

  op(...bytes: number[]): this {
    this.#chunks.push(Uint8Array.from(bytes));
    return this;
  }

  sign(char: string): this {
    return this.op(char.charCodeAt(0));
  }

  text(value: string): this {
    if (this.#again(`X${value}`)) return this;
    const bytes = LATIN.encode(value);
    this.#packed('X', 4, (view) => view.setUint32(0, bytes.byteLength, true));
    this.#chunks.push(bytes);
    return this.#remember(`X${value}`);
  }

  /** A class or function, by its module and name. */
  global(module: string, name: string): this {
    const key = `c${module} ${name}`;
    if (this.#again(key)) return this;
    this.#chunks.push(LATIN.encode(`c${module}\n${name}\n`));
    return this.#remember(key);
  }

  int(value: number): this {
    if (value >= 0 && value < 0x100) return this.sign('K').op(value);
    if (Math.abs(value) < 2 ** 31) return this.#packed('J', 4, (view) => view.setInt32(0, value, true));
    // Two's complement in as many bytes as it takes; 8 hold every safe integer.
    this.op(0x8a);
    return this.#packed('\x08', 8, (view) => view.setBigInt64(0, BigInt(value), true));
  }

  float(value: number): this {
    return this.#packed('G', 8, (view) => view.setFloat64(0, value, false));
  }

  bool(value: boolean): this {
    return this.op(value ? 0x88 : 0x89);
  }

  tuple(write: () => void): this {
    this.sign('(');
    write();
    return this.sign('t');
  }

  ints(values: readonly number[]): this {
    return this.tuple(() => values.forEach((value) => this.int(value)));
  }

  /** collections.OrderedDict() */
  orderedDict(): this {
    return this.global('collections', 'OrderedDict').sign(')').sign('R');
  }

  finish(): Uint8Array {
    this.sign('.');
    const out = new Uint8Array(this.#chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
    let at = 0;
    for (const chunk of this.#chunks) {
      out.set(chunk, at);
      at += chunk.byteLength;
    }
    return out;
  }

  #packed(sign: string, width: number, write: (view: DataView) => void): this {
    const bytes = new Uint8Array(width);
    write(new DataView(bytes.buffer));
    this.sign(sign);
    this.#chunks.push(bytes);
    return this;
  }

  #again(key: string): boolean {
    const known = this.#memo.get(key);
    if (known === undefined) return false;
    this.#packed('j', 4, (view) => view.setUint32(0, known, true));
    return true;
  }

  #remember(key: string): this {
    const index = this.#memo.size;
    this.#memo.set(key, index);
    return this.#packed('r', 4, (view) => view.setUint32(0, index, true));
  }
}
