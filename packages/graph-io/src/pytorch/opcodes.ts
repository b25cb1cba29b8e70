/** The instructions of pickle, protocols 0 to 5, after CPython's pickletools; those that reach outside are left out. */
import { type PickleMachine, smallest } from './pickle-machine.js';
import { PyDict, PyList, PySet, PyTuple, type PyValue } from './values.js';

type Instruction = (machine: PickleMachine) => void;

const LATEST_PROTOCOL = 5;
const emptyTuple = new PyTuple([]);
const latin1 = new TextDecoder('latin1');

/** Literals made of what `read` takes from the bytes. */
const literal = (read: (machine: PickleMachine) => PyValue): Instruction => (machine) => machine.push(read(machine));

const list = (items: readonly PyValue[]): PyList => {
  const made = new PyList();
  for (const item of items) made.items.push(item);
  return made;
};

const dict = (machine: PickleMachine, items: readonly PyValue[]): PyDict => {
  if (items.length % 2 !== 0) throw machine.invalid('a key has no value');
  const made = new PyDict();
  for (let i = 0; i < items.length; i += 2) made.set(items[i]!, items[i + 1]!);
  return made;
};

const frozenSet = (items: readonly PyValue[]): PySet => {
  const made = new PySet();
  for (const item of items) made.items.push(item);
  return made;
};

/** `I01` and `I00` are booleans; `L` ends with an L. */
function decimal(machine: PickleMachine, line: string): PyValue {
  if (line === '01') return true;
  if (line === '00') return false;
  const digits = line.replace(/L$/, '');
  if (!/^[+-]?\d{1,600}$/.test(digits)) throw machine.invalid(`${JSON.stringify(line.slice(0, 60))} is no integer`);
  return smallest(BigInt(digits.replace(/^\+/, '')));
}

function float(machine: PickleMachine, line: string): number {
  const named = /^([+-]?)(inf|nan)$/i.exec(line.trim());
  if (named) return named[2]!.toLowerCase() === 'nan' ? NaN : named[1] === '-' ? -Infinity : Infinity;
  const value = Number(line);
  if (line.trim() === '' || Number.isNaN(value)) throw machine.invalid(`${JSON.stringify(line.slice(0, 60))} is no number`);
  return value;
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v', '\\': '\\', "'": "'", '"': '"', '\n': '' };

/** A quoted string as Python's repr writes it. */
function quoted(machine: PickleMachine, line: string): string {
  const match = /^(['"])([\s\S]*)\1$/.exec(line.trim());
  if (!match) throw machine.invalid('a string has no quotes around it');
  return match[2]!.replace(/\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/g, (_, hex?: string, octal?: string, char?: string) => {
    if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
    if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8) & 0xff);
    return escapes[char!] ?? `\\${char!}`;
  });
}

/** `raw-unicode-escape`. */
const rawUnicode = (line: string): string =>
  line.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/g, (whole, short?: string, long?: string) => {
    const code = parseInt(short ?? long!, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });

/** Strings of Python 2: text in every checkpoint there is. Bytes that are no UTF-8 are read as Latin-1. */
function oldString(machine: PickleMachine, count: number): string {
  const bytes = machine.take(count);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return latin1.decode(bytes);
  }
}

const persistent = (machine: PickleMachine, id: PyValue): void => machine.push(machine.rules.persistent(id));

/** A class and its arguments above a mark: what REDUCE says in later protocols. */
function callMarked(machine: PickleMachine, callee: PyValue, args: readonly PyValue[]): void {
  machine.push(machine.call(callee, new PyTuple(args)));
}

const size = (machine: PickleMachine, count: number): number => {
  if (count < 0) throw machine.invalid('it declares a value of negative size');
  return count;
};

const table: Readonly<Record<string, Instruction>> = {
  // Control.
  '\x80': (machine) => {
    const version = machine.byte();
    if (version > LATEST_PROTOCOL) throw machine.invalid(`it is of protocol ${version}, the latest that is known is ${LATEST_PROTOCOL}`);
  },
  // The length of a frame is only a hint to readers of streams.
  '\x95': (machine) => void machine.take(8),
  '.': (machine) => {
    machine.stopped = true;
  },
  '(': (machine) => machine.mark(),
  '0': (machine) => machine.dropTop(),
  '1': (machine) => void machine.popMark(),
  '2': (machine) => machine.push(machine.top()),

  // Literals.
  N: literal(() => null),
  '\x88': literal(() => true),
  '\x89': literal(() => false),
  I: literal((machine) => decimal(machine, machine.line())),
  L: literal((machine) => decimal(machine, machine.line())),
  J: literal((machine) => machine.int32()),
  K: literal((machine) => machine.byte()),
  M: literal((machine) => machine.uint16()),
  '\x8a': literal((machine) => machine.integer(machine.byte())),
  '\x8b': literal((machine) => machine.integer(size(machine, machine.int32()))),
  F: literal((machine) => float(machine, machine.line())),
  G: literal((machine) => machine.float64()),
  S: literal((machine) => quoted(machine, machine.line())),
  T: literal((machine) => oldString(machine, size(machine, machine.int32()))),
  U: literal((machine) => oldString(machine, machine.byte())),
  V: literal((machine) => rawUnicode(machine.line())),
  X: literal((machine) => machine.text(machine.uint32())),
  '\x8c': literal((machine) => machine.text(machine.byte())),
  '\x8d': literal((machine) => machine.text(machine.uint64())),
  B: literal((machine) => machine.take(machine.uint32())),
  C: literal((machine) => machine.take(machine.byte())),
  '\x8e': literal((machine) => machine.take(machine.uint64())),
  '\x96': literal((machine) => machine.take(machine.uint64())),

  // Containers.
  ')': literal(() => emptyTuple),
  ']': literal(() => new PyList()),
  '}': literal(() => new PyDict()),
  '\x8f': literal(() => new PySet()),
  t: literal((machine) => new PyTuple(machine.popMark())),
  '\x85': literal((machine) => new PyTuple(machine.popItems(1))),
  '\x86': literal((machine) => new PyTuple(machine.popItems(2))),
  '\x87': literal((machine) => new PyTuple(machine.popItems(3))),
  l: literal((machine) => list(machine.popMark())),
  d: literal((machine) => dict(machine, machine.popMark())),
  '\x91': literal((machine) => frozenSet(machine.popMark())),
  a: (machine) => machine.append(machine.popItems(1)),
  e: (machine) => machine.append(machine.popMark()),
  '\x90': (machine) => machine.append(machine.popMark()),
  s: (machine) => machine.setItems(machine.popItems(2)),
  u: (machine) => machine.setItems(machine.popMark()),

  // The memo.
  p: (machine) => machine.memoize(Number(decimal(machine, machine.line()))),
  q: (machine) => machine.memoize(machine.byte()),
  r: (machine) => machine.memoize(machine.uint32()),
  '\x94': (machine) => machine.memoize(),
  g: literal((machine) => machine.remembered(Number(decimal(machine, machine.line())))),
  h: literal((machine) => machine.remembered(machine.byte())),
  j: literal((machine) => machine.remembered(machine.uint32())),

  // Objects.
  c: literal((machine) => {
    const module = machine.line();
    return machine.find(module, machine.line());
  }),
  '\x93': literal((machine) => {
    const [module, name] = machine.popItems(2);
    return machine.find(module!, name!);
  }),
  R: (machine) => {
    const [callee, args] = machine.popItems(2);
    machine.push(machine.call(callee!, args!));
  },
  '\x81': (machine) => {
    const [type, args] = machine.popItems(2);
    machine.push(machine.instance(type!, args!));
  },
  '\x92': (machine) => {
    const [type, args] = machine.popItems(3);
    machine.push(machine.instance(type!, args!));
  },
  b: (machine) => machine.build(),
  i: (machine) => {
    const module = machine.line();
    const callee = machine.find(module, machine.line());
    callMarked(machine, callee, machine.popMark());
  },
  o: (machine) => {
    const [callee, ...args] = machine.popMark();
    if (callee === undefined) throw machine.invalid('it makes an object of nothing');
    callMarked(machine, callee, args);
  },
  P: (machine) => persistent(machine, machine.line()),
  Q: (machine) => persistent(machine, machine.pop()),
};

/** By code. Missing on purpose: EXT1, EXT2, EXT4 (a registry outside of the file), NEXT_BUFFER and READONLY_BUFFER. */
export const opcodes: ReadonlyMap<number, Instruction> = new Map(Object.entries(table).map(([char, run]) => [char.charCodeAt(0), run]));
