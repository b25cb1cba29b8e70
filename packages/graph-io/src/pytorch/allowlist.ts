/** Everything a checkpoint may name or want called, and the data that stands for it. */
import { numpyBuilders } from './numpy-values.js';
import { invalidPickle, type PickleRules, unsafe } from './pickle-machine.js';
import { malformed, tensorBuilders, unknownDtype } from './tensor-builders.js';
import { storageTypes } from './torch-types.js';
import { describe, isDict, isKind, itemsOf, PyDict, PyGlobal, PyList, PyObject, PySet, PyStorage, PyTuple, type PyValue } from './values.js';

type Builder = (args: readonly PyValue[], name: string) => PyValue;

const record: Builder = (args, name) => new PyObject(name, args);

const asList: Builder = ([items]) => {
  const list = new PyList();
  list.items.push(...pieces(items));
  return list;
};

const asTuple: Builder = ([items]) => new PyTuple(pieces(items));

const asSet: Builder = ([items]) => {
  const set = new PySet();
  for (const item of pieces(items)) set.items.push(item);
  return set;
};

/** dict(pairs), dict(other); a defaultdict starts empty, its first argument is what makes missing values. */
const asDict: Builder = ([source]) => {
  const dict = new PyDict();
  if (isDict(source)) for (const [key, value] of source.entries) dict.set(key, value);
  else if (!isKind(source, 'global')) {
    for (const pair of pieces(source)) {
      const [key, value] = itemsOf(pair) ?? [];
      if (key === undefined || value === undefined) throw malformed('a dict of what are no pairs');
      dict.set(key, value);
    }
  }
  return dict;
};

function pieces(value: PyValue | undefined): readonly PyValue[] {
  if (value === undefined || value === null) return [];
  const items = itemsOf(value);
  if (!items) throw malformed(`items out of ${describe(value)}`);
  return items;
}

/** Bytes as Python 3 writes them for older protocols: text of which each character is a byte. */
const encode: Builder = ([text, encoding]) => {
  if (typeof text !== 'string') throw malformed(`bytes out of ${describe(text)}`);
  if (encoding === 'latin1' || encoding === 'latin-1' || encoding === undefined) return Uint8Array.from(text, (char) => char.charCodeAt(0));
  if (encoding === 'utf-8' || encoding === 'utf8' || encoding === 'ascii') return new TextEncoder().encode(text);
  throw malformed(`bytes in the encoding ${describe(encoding)}`);
};

const asBytes: Builder = (args, name) => {
  const [value] = args;
  if (value === undefined) return new Uint8Array();
  return value instanceof Uint8Array ? value : encode(args, name);
};

/** A number, text or boolean that is one already. */
const same: Builder = ([value], name) => {
  if (value === undefined || (typeof value === 'object' && value !== null)) throw malformed(`${name} of ${describe(value)}`);
  return value;
};

/** copyreg._reconstructor(class, base, state), copyreg.__newobj__(class, …): an object before its state is set. */
const instance: Builder = ([type, ...args]) => {
  if (!isKind(type, 'global')) throw malformed(`an instance of ${describe(type)}`);
  return callAllowed(type.name, args.filter((arg) => !isKind(arg, 'global'))) ?? new PyObject(type.name, args);
};

/** torch._tensor._rebuild_from_type_v2(function, type, args, state): a tensor with attributes. */
const fromType: Builder = ([callee, , args]) => {
  if (!isKind(callee, 'global') || !isKind(args, 'tuple')) throw malformed('a tensor rebuilt by nothing');
  const build = tensorBuilders[callee.name];
  if (!build) throw malformed(`a tensor rebuilt by ${callee.name}`);
  return build(args.items);
};

const keep: Builder = ([value]) => value ?? null;

const builders: Readonly<Record<string, Builder>> = {
  ...tensorBuilders,
  ...numpyBuilders,
  ...under(['builtins', '__builtin__'], {
    set: asSet, frozenset: asSet, list: asList, tuple: asTuple, dict: asDict, bytearray: asBytes, bytes: asBytes,
    int: same, long: same, float: same, str: same, unicode: same, bool: same, complex: record, slice: record, range: record, xrange: record, object: record,
  }),
  ...under(['collections'], { OrderedDict: asDict, defaultdict: asDict, Counter: asDict, deque: asList }),
  ...under(['copyreg', 'copy_reg'], { _reconstructor: instance, __newobj__: instance }),
  ...under(['_codecs', 'codecs'], { encode }),
  ...under(['datetime'], { datetime: record, date: record, time: record, timedelta: record, timezone: record }),
  ...under(['pathlib', 'pathlib._local'], { Path: record, PosixPath: record, WindowsPath: record, PurePath: record, PurePosixPath: record, PureWindowsPath: record }),
  ...under(['torch'], { Size: asTuple, device: record }),
  'functools.partial': record,
  'torch._tensor._rebuild_from_type': fromType,
  'torch._tensor._rebuild_from_type_v2': fromType,
  'torch.tensor._rebuild_from_type': fromType,
  'torch.serialization._get_layout': record,
  'torch.nn.backends.thnn._get_thnn_function_backend': record,
  ...under(['torch.jit._pickle'], { build_intlist: keep, build_doublelist: keep, build_boollist: keep, build_tensorlist: keep, restore_type_tag: keep }),
};

function under(modules: readonly string[], names: Readonly<Record<string, Builder>>): Record<string, Builder> {
  return Object.fromEntries(modules.flatMap((module) => Object.entries(names).map(([name, build]) => [`${module}.${name}`, build])));
}

function callAllowed(name: string, args: readonly PyValue[]): PyValue | undefined {
  return Object.hasOwn(builders, name) ? builders[name]!(args, name) : undefined;
}

/**
 * Modules that no checkpoint names but to have something run. Calls are refused whatever they call; this list only lets
 * such a file be refused at its first word. Python's own modules that hold data are not here.
 */
const forbidden = new Set(
  ('__builtin__ _io _operator _pickle _posixsubprocess _winapi aiohttp antigravity ast asyncio atexit bdb builtins cPickle cProfile cffi code codecs ' +
    'codeop commands copyreg copy_reg ctypes dbm distutils dill doctest ensurepip exec fileinput fsspec ftplib functools gc getpass glob http httplib idlelib imaplib imp importlib ' +
    'inspect io ipdb itertools joblib lib2to3 linecache logging mailcap marshal mmap multiprocessing nntplib nt ntpath operator os pdb pickle pip pipes pkg_resources pkgutil platform ' +
    'popen2 poplib posix posixpath profile pty pydoc requests resource rlcompleter runpy select setuptools shelve shlex shutil signal site smtplib socket socketserver ' +
    'sqlite3 ssl subprocess sys sysconfig tarfile telnetlib tempfile test threading timeit tkinter trace tracemalloc tty types unittest urllib urllib2 uuid venv webbrowser ' +
    'winreg wsgiref xmlrpc zipapp zipfile zipimport').split(' '),
);

/** Rules for the pickles that torch writes. */
export function torchRules(uri: string): PickleRules {
  const named = new Map<string, PyGlobal>();
  return {
    find(module, name) {
      const full = `${module}.${name}`;
      if (!Object.hasOwn(builders, full) && forbidden.has(module.split('.')[0]!)) throw unsafe(uri, full, 'name');
      let found = named.get(full);
      if (!found) named.set(full, (found = new PyGlobal(full)));
      return found;
    },
    call: callAllowed,
    persistent: (id) => persistent(id, uri),
    // Attributes of dicts (`_metadata` of a state dict), of parameters and of subclasses of list: no weights.
    build: (value) => isKind(value, 'dict') || isKind(value, 'tensor') || isKind(value, 'list') || isKind(value, 'set'),
  };
}

/** ('storage', class, key, device, count, view) or, before torch 1.6, ('module', class, file, source code). */
function persistent(id: PyValue, uri: string): PyValue {
  const [kind, type, key, , count, view] = itemsOf(id) ?? [];
  if (kind === 'module' && isKind(type, 'global')) return type;
  if (kind !== 'storage' || !isKind(type, 'global')) throw invalidPickle(uri, `it refers to ${describe(kind ?? id)} outside of itself`);
  const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  if (typeof key !== 'string' || !isCount(count)) throw invalidPickle(uri, `it names a storage by ${describe(key)} with ${describe(count)} elements`);
  const name = type.name.slice(type.name.lastIndexOf('.') + 1);
  const untyped = name === 'UntypedStorage' || name === '_UntypedStorage';
  if (!untyped && !Object.hasOwn(storageTypes, name)) throw unknownDtype(type.name);
  const storageType = untyped ? undefined : storageTypes[name];
  if (view === undefined || view === null) return new PyStorage(key, storageType, count);
  const [, offset, viewCount] = itemsOf(view) ?? [];
  if (!isCount(offset) || !isCount(viewCount) || offset + viewCount > count) throw invalidPickle(uri, `it cuts ${describe(viewCount)} elements at ${describe(offset)} out of a storage of ${count}`);
  return new PyStorage(key, storageType, viewCount, offset);
}

