/** Functions of TorchScript on what is no tensor: numbers, lists, texts, dictionaries, and what a program asks of a tensor. */
import { denseOf, type DType, dtypes, PenjingError } from '@penjing/core';
import { scriptLimits } from '../../limits.js';
import { type AtenContext, dtypeOfC10, type Environment, isCell, isFloatScalar, isSym, type Scalar } from '../aten/index.js';
import { symOperator } from '../aten/sym.js';
import { beyond, checkNesting, describeScript, isDictValue, isList, isScalar, type ScriptValue } from './script-values.js';

interface Builtin {
  readonly c: AtenContext;
  readonly environment: Environment;
}
type Function = (b: Builtin, args: readonly ScriptValue[], keyword: Readonly<Record<string, ScriptValue>>) => ScriptValue;

const c10OfDtype: ReadonlyMap<DType, number> = new Map([...dtypeOfC10].map(([number, dtype]) => [dtype, number]));

/** The number of a list or text, or the first size of a tensor. */
const length: Function = (b, [value]) => {
  if (isCell(value)) return b.c.size(b.environment.read(value), 0);
  if (isList(value) || typeof value === 'string') return value.length;
  if (isDictValue(value)) return value.entries.size;
  throw beyond(`the length of ${describeScript(value)}`);
};

const list = (value: ScriptValue | undefined, what: string): ScriptValue[] => {
  if (isList(value)) return value;
  throw beyond(`${what} ${describeScript(value)}`);
};

const whole = (value: ScriptValue | undefined, what: string): number => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  if (typeof value === 'boolean') return Number(value);
  throw beyond(`${what} that is ${describeScript(value)}`, 'Give fixed sizes for the inputs, or export the model with torch.export.save.');
};

function grown(items: ScriptValue[]): ScriptValue[] {
  if (items.length > scriptLimits.items) throw new PenjingError('E_LIMIT', `a list grows beyond ${scriptLimits.items} items`);
  return items;
}

function text(value: string): string {
  if (value.length > scriptLimits.items) throw new PenjingError('E_LIMIT', `a text grows beyond ${scriptLimits.items} characters`);
  return value;
}

const textOf = (value: ScriptValue | undefined): string => (typeof value === 'string' ? value : describeScript(value));

/** The value of a number, for comparison and messages. */
const bare = (value: ScriptValue): unknown => (isFloatScalar(value) ? value.number : value);

/** Undefined when it cannot be known: a number is computed in the graph. */
export function same(a: ScriptValue, b: ScriptValue): boolean | undefined {
  if (isSym(a) || isSym(b)) return undefined;
  if (isList(a) && isList(b)) {
    const each = a.length === b.length ? a.map((item, i) => same(item, b[i]!)) : [false];
    return each.includes(false) ? false : each.includes(undefined) ? undefined : true;
  }
  return isCell(a) || isCell(b) ? a === b : bare(a) === bare(b);
}

const is = (negate: boolean): Function => (_, [a = null, b = null]) => (same(a, b) ?? false) !== negate;

const contains: Function = (_, [holder, item = null]) => {
  if (isDictValue(holder)) return holder.entries.has(bare(item) as string);
  const found = list(holder, 'something in').map((one) => same(one, item));
  if (found.includes(true)) return true;
  if (found.includes(undefined)) throw beyond('a search for a number that is computed in the graph');
  return false;
};

/** Python's slice of a list. */
const sliced: Function = (_, [items, start = null, end = null, step = 1]) => {
  const all = list(items, 'a slice of');
  const by = whole(step, 'a step');
  if (by < 1) throw beyond(`a step of ${by}`);
  const bound = (value: ScriptValue, fallback: number): number => {
    const at = value === null ? fallback : whole(value, 'an end');
    return Math.max(0, Math.min(all.length, at < 0 ? at + all.length : at));
  };
  return all.slice(bound(start, 0), bound(end, all.length)).filter((_item, i) => i % by === 0);
};

/** Numbers in lists as a tensor. */
const tensor: Function = (b, [value = null], keyword) => {
  const shape: number[] = [];
  for (let level = value; isList(level); level = level[0] ?? null) shape.push(level.length);
  const flat = (item: ScriptValue): Scalar[] => (isList(item) ? item.flatMap(flat) : isScalar(item) ? [item] : (() => { throw beyond(`a tensor of ${describeScript(item)}`); })());
  const items = flat(value);
  const dtype = typeof keyword['dtype'] === 'number' ? dtypeOfC10.get(keyword['dtype']) : undefined;
  const own: DType = dtype ?? (items.some((item) => b.c.promotion(item).dtype === 'float32') || items.length === 0 ? 'float32' : items.every((item) => typeof item === 'boolean') ? 'bool' : 'int64');
  if (items.length === 1 && shape.length === 0) return b.environment.cell(b.c.scalarOf(items[0]!, own));
  const numbers = items.map((item) => bare(item));
  if (!numbers.every((item) => typeof item === 'number' || typeof item === 'boolean')) throw beyond('a tensor of numbers that are computed in the graph');
  return b.environment.cell(b.c.builder.initializer('tensor', denseOf(own, shape, numbers.map(Number))));
};

/** A number out of a tensor; others stay. */
const number: Function = (b, [value = null]) => {
  if (isCell(value)) return b.c.sym(b.c.reshape(b.environment.read(value), [1]));
  if (typeof value === 'string') {
    const parsed = value.includes('inf') ? (value.startsWith('-') ? -Infinity : Infinity) : Number(value);
    return { kind: 'float', number: parsed };
  }
  if (isScalar(value)) return value;
  throw beyond(`a number out of ${describeScript(value)}`);
};

const dtypeOf = (b: Builtin, value: ScriptValue | undefined): DType => {
  if (!isCell(value)) throw beyond(`the element type of ${describeScript(value)}`);
  return b.c.dtype(b.environment.read(value));
};

const constant = (value: ScriptValue): Function => () => value;
const first: Function = (_, [value = null]) => value;
const extreme = (name: 'max' | 'min'): Function => (b, args) => {
  const items = args.length === 1 ? list(args[0], 'the largest of') : args;
  if (items.length === 0 || !items.every(isScalar)) throw beyond(`${name} of ${items.map(describeScript).join(', ')}`);
  return items.reduce((x, y) => symOperator(name)!(b.c, x, y));
};

/** By name; those that a tensor has too are asked for tensors only where they say so. */
const functions: Readonly<Record<string, Function>> = {
  len: length, dim: (b, [value]) => (isCell(value) ? b.c.rank(b.environment.read(value)) : length(b, [value ?? null], {})),
  append: (_, [items, item = null]) => {
    const all = list(items, 'appending to');
    checkNesting(all, item);
    all.push(item);
    return grown(all);
  },
  extend: (_, [items, more]) => {
    const all = list(items, 'appending to');
    for (const item of [...list(more, 'appending')]) {
      checkNesting(all, item);
      all.push(item);
    }
    return grown(all);
  },
  insert: (_, [items, at, item = null]) => {
    const all = list(items, 'inserting into');
    checkNesting(all, item);
    all.splice(whole(at, 'a place'), 0, item);
    return grown(all);
  },
  pop: (_, [items, at = -1]) => list(items, 'taking from').splice(whole(at, 'a place'), 1)[0] ?? null,
  reverse: (_, [items]) => list(items, 'turning').reverse(),
  clear: (_, [items]) => (list(items, 'clearing').splice(0), null),
  list: (_, [items]) => [...list(items, 'a list of')], copy: (_, [items]) => [...list(items, 'a copy of')],
  _set_item: (_, [items, at, item = null]) => {
    checkNesting(items ?? null, item);
    if (isDictValue(items)) items.entries.set(bare(at ?? null) as string, item);
    else {
      const all = list(items, 'writing into');
      const place = whole(at, 'a place');
      if (place >= all.length || place < -all.length) throw beyond(`place ${place} in a list of ${all.length}`);
      all[place < 0 ? place + all.length : place] = item;
    }
    return null;
  },
  __is__: is(false), __isnot__: is(true), __contains__: contains,
  __not__: (b, [value = null]) => {
    if (isScalar(value)) return symOperator('not')!(b.c, value);
    throw beyond(`the opposite of ${describeScript(value)}`);
  },
  __range_length: (_, [start, end, step = 1]) => Math.max(0, Math.ceil((whole(end, 'an end') - whole(start, 'a start')) / whole(step, 'a step'))),
  __derive_index: (_, [index, start, step = 1]) => whole(start, 'a start') + whole(index, 'an index') * whole(step, 'a step'),
  format: (_, [form, ...rest]) => {
    let at = 0;
    return text(textOf(form).replaceAll('{}', () => describeScript(rest[at++])));
  },
  keys: (_, [dict]) => (isDictValue(dict) ? [...dict.entries.keys()] : list(dict, 'the keys of')),
  values: (_, [dict]) => (isDictValue(dict) ? [...dict.entries.values()] : list(dict, 'the values of')),
  items: (_, [dict]) => (isDictValue(dict) ? [...dict.entries].map(([key, value]) => [key, value]) : list(dict, 'the items of')),
  tensor, as_tensor: (b, args, keyword) => (isCell(args[0]) ? args[0] : tensor(b, args, keyword)),
  item: number, IntImplicit: number, FloatImplicit: number, ScalarImplicit: number,
  is_floating_point: (b, [value]) => dtypes[dtypeOf(b, value)].kind === 'float', is_complex: (b, [value]) => dtypes[dtypeOf(b, value)].kind === 'complex',
  device: constant('cpu'), is_grad_enabled: constant(false), set_grad_enabled: constant(null), is_autocast_enabled: constant(false), is_autocast_cpu_enabled: constant(false),
  is_scripting: constant(true), is_tracing: constant(false), get_device: constant(-1), warn: constant(null), requires_grad_: first, cpu: first, get_autocast_dtype: constant(6),
  str: (_, [value]) => text(textOf(value)), lower: (_, [value]) => textOf(value).toLowerCase(), upper: (_, [value]) => textOf(value).toUpperCase(),
};

/** `ops.prim.NAME`, and Python's own functions. */
const primitives: Readonly<Record<string, Function>> = {
  NumToTensor: first, unchecked_unwrap_optional: first, unwrap_optional: first, uninitialized: constant(null), data: first,
  int: (b, args, keyword) => converted(b, args, keyword, 'trunc'), float: (b, args, keyword) => converted(b, args, keyword, 'float'),
  bool: (b, args, keyword) => {
    const value = number(b, args, keyword) as Scalar;
    return isSym(value) ? { kind: 'sym', value: b.c.cast(value.value, 'bool') } : Boolean(bare(value));
  },
  str: functions['str']!, dtype: (b, [value]) => c10OfDtype.get(dtypeOf(b, value)) ?? null, device: constant('cpu'), layout: constant(null), is_cuda: constant(false),
  is_nested: constant(false), is_sparse: constant(false), is_mkldnn: constant(false), is_quantized: constant(false), is_meta: constant(false), is_mps: constant(false), is_xpu: constant(false),
  requires_grad: constant(false), type: constant('cpu'), index: constant(null), shape: (b, [value]) => (isCell(value) ? b.c.sizes(b.environment.read(value)) : list(value, 'the sizes of')),
  max: extreme('max'), min: extreme('min'), abs: (b, [value = null]) => (isScalar(value) ? symOperator('max')!(b.c, value, symOperator('neg')!(b.c, value)) : value),
  itemsize: (b, [value]) => dtypes[dtypeOf(b, value)].bits / 8, ndim: (b, [value]) => (isCell(value) ? b.c.rank(b.environment.read(value)) : length(b, [value ?? null], {})),
  RaiseException: (_, [message]) => {
    throw new PenjingError('E_INPUT', `the program stops for inputs like these: ${typeof message === 'string' && message !== '' ? message : 'it raises an exception'}`, { hint: 'Give inputs of the sizes that the model is made for.' });
  },
};

function converted(b: Builtin, args: readonly ScriptValue[], keyword: Readonly<Record<string, ScriptValue>>, to: 'trunc' | 'float'): ScriptValue {
  const value = number(b, args, keyword);
  // A text may hold what no integer does.
  if (isFloatScalar(value) && !Number.isFinite(value.number)) return value;
  return symOperator(to)!(b.c, value as Scalar);
}

/** Names of arithmetic that torch and Python do not share. */
const arithmetic: Readonly<Record<string, string>> = { div: 'truediv', remainder: 'mod', fmod: 'mod', floor_divide: 'floordiv', __and__: 'and', __or__: 'or', true_divide: 'truediv' };

function truth(value: ScriptValue): boolean {
  if (typeof value === 'boolean' || typeof value === 'number') return Boolean(value);
  throw beyond(`a decision by ${describeScript(value)}`, 'Give fixed sizes for the inputs.');
}

/** A function that is no operator on tensors; undefined when it is one. */
export function callBuiltin(b: Builtin, name: string, args: readonly ScriptValue[], keyword: Readonly<Record<string, ScriptValue>>): ScriptValue | undefined {
  const [a, other] = args;
  if (isList(a) && args.length === 2) {
    if (name === 'add' && isList(other)) return grown([...a, ...other]);
    if (name === 'mul' && typeof other === 'number') return grown(new Array<ScriptValue[]>(Math.min(other, scriptLimits.items + 1)).fill(a).flat());
    if ((name === 'eq' || name === 'ne') && isList(other)) {
      const equal = same(a, other);
      if (equal === undefined) throw beyond('a comparison of lists of sizes that may vary', 'Give fixed sizes for the inputs.');
      return equal === (name === 'eq');
    }
  }
  if (isList(a) && (name === 'all' || name === 'any')) return a.map(truth)[name === 'all' ? 'every' : 'some']((item) => item);
  if (isList(a) && name === 'slice') return sliced(b, args, keyword);
  if (typeof a === 'string' && typeof other === 'string') {
    if (name === 'eq' || name === 'ne') return (a === other) === (name === 'eq');
    if (name === 'add') return text(a + other);
  }
  if ((name === 'eq' || name === 'ne') && (a === null || other === null || typeof a === 'string' || typeof other === 'string') && !isCell(a) && !isCell(other)) return (a === other) === (name === 'eq');
  if (name === 'size' && isList(a)) return a;
  if (isScalar(a) && args.length <= 2 && (other === undefined || isScalar(other))) {
    const operator = symOperator(arithmetic[name] ?? name);
    if (operator) return operator(b.c, a, other);
  }
  return Object.hasOwn(functions, name) && !(isCell(a) && name === 'values') ? functions[name]!(b, args, keyword) : undefined;
}

/** Undefined when there is none of that name. */
export function callPrimitive(b: Builtin, name: string, args: readonly ScriptValue[]): ScriptValue | undefined {
  return Object.hasOwn(primitives, name) ? primitives[name]!(b, args, {}) : undefined;
}

