/** Functions of torch and torch.nn.functional whose arguments are not those of the ATen operator of their name. */
import { type DType, PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, type AtenContext, type AtenResult, callAten, hasAten, type SymInt } from '../../torch/aten/index.js';

type Keyword = Readonly<Record<string, AtenArgument>>;
export type Functional = (c: AtenContext, positional: readonly AtenArgument[], keyword: Keyword) => AtenResult;

const call = (c: AtenContext, target: string, positional: readonly AtenArgument[], keyword: Keyword = {}): Value => callAten(c, `aten.${target}`, positional, keyword) as Value;

/** Arguments of Python's function by name. */
function bound(names: readonly string[], positional: readonly AtenArgument[], keyword: Keyword): Record<string, AtenArgument> {
  if (positional.length > names.length) throw new PenjingError('E_FORWARD', `more than ${names.length} arguments were given`);
  const unknown = Object.keys(keyword).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new PenjingError('E_FORWARD', `there is no argument ${unknown}; there are ${names.join(', ')}`);
  return { ...Object.fromEntries(positional.map((value, i) => [names[i]!, value])), ...keyword };
}

export interface Resize {
  readonly size?: AtenArgument | undefined;
  readonly scale_factor?: AtenArgument | undefined;
  readonly mode?: AtenArgument | undefined;
  readonly align_corners?: AtenArgument | undefined;
}

/** torch.nn.functional.interpolate. */
export function interpolate(c: AtenContext, x: Value, { size = null, scale_factor = null, mode = 'nearest', align_corners = null }: Resize): AtenResult {
  const axes = c.rank(x) - 2;
  const each = (value: AtenArgument): AtenArgument => (value === null ? null : Array.isArray(value) ? (value as AtenArgument[]) : new Array<AtenArgument>(axes).fill(value));
  const exact = mode === 'nearest-exact';
  if (typeof mode !== 'string') throw new PenjingError('E_FORWARD', 'the mode of interpolate is a text, such as \'bilinear\'');
  const target = exact ? `_upsample_nearest_exact${axes}d` : `upsample_${mode}${axes}d`;
  const align = exact || mode === 'nearest' ? [] : [align_corners ?? false];
  return callAten(c, `aten.${target}.vec`, [x, each(size), ...align, each(scale_factor)]);
}

export const softmin = (c: AtenContext, x: Value, dim: AtenArgument): AtenResult => callAten(c, 'aten.softmax', [c.op('Neg', [x]), dim]);

export function zeros(c: AtenContext, sizes: readonly SymInt[], dtype: DType): Value {
  return c.op('Expand', [c.constant(dtype, 0), c.vector(sizes)]);
}

/** x over its norm along an axis. */
const normalize: Functional = (c, positional, keyword) => {
  const { input, p = 2, dim = 1, eps = 1e-12 } = bound(['input', 'p', 'dim', 'eps'], positional, keyword);
  const norm = call(c, 'linalg_vector_norm', [input!, p, [dim], true]);
  return call(c, 'div', [input!, call(c, 'clamp_min', [norm, eps])]);
};

const batchNorm: Functional = (c, positional, keyword) => {
  const { input, running_mean, running_var, weight = null, bias = null, training = false, eps = 1e-5 } =
    bound(['input', 'running_mean', 'running_var', 'weight', 'bias', 'training', 'momentum', 'eps'], positional, keyword);
  return callAten(c, 'aten.batch_norm', [input!, weight, bias, running_mean!, running_var!, training, 0.1, eps, false]);
};

/** All that follows the tensor is one list of sizes, given as such or one by one. */
const sized = (name: string): Functional => (c, [self, ...sizes], keyword) => {
  const list = sizes.length === 1 && Array.isArray(sizes[0]) ? sizes[0] : sizes;
  return callAten(c, `aten.${name}`, sizes.length === 0 ? [self!] : [self!, list as AtenArgument[]], keyword);
};

const toType = (dtype: DType): Functional => (c, [self]) => c.cast(self as Value, dtype);
const same: Functional = (_, [self]) => self as AtenResult;
/** Positions that a pool may give too are not what is meant. */
const firstOf = (name: string): Functional => (c, positional, keyword) => {
  const result = callAten(c, `aten.${name}`, positional, keyword);
  return Array.isArray(result) ? (result[0] as AtenResult) : result;
};
const pool = (name: string): Functional => (c, positional, keyword) => {
  // Python has the step of the window default to its size, ATen wants it said.
  const { stride, ...rest } = keyword;
  return callAten(c, `aten.${name}`, positional, stride === undefined || stride === null ? rest : { ...rest, stride });
};

/** By the name that Python has for them. */
const functionals: Readonly<Record<string, Functional>> = {
  ...Object.fromEntries(['dropout', 'dropout1d', 'dropout2d', 'dropout3d', 'alpha_dropout', 'feature_alpha_dropout', 'contiguous', 'detach', 'clone', 'identity', 'cpu'].map((name) => [name, same])),
  ...Object.fromEntries(['view', 'reshape', 'permute', 'expand', 'repeat', 'tile', 'flip'].map((name) => [name, sized(name)])),
  ...Object.fromEntries(['max_pool1d', 'max_pool2d', 'max_pool3d', 'avg_pool1d', 'avg_pool2d', 'avg_pool3d'].map((name) => [name, pool(name)])),
  ...Object.fromEntries(['adaptive_max_pool1d', 'adaptive_max_pool2d', 'adaptive_max_pool3d'].map((name) => [name, firstOf(name)])),
  float: toType('float32'), half: toType('float16'), double: toType('float64'), bfloat16: toType('bfloat16'), long: toType('int64'), int: toType('int32'),
  bool: toType('bool'),
  interpolate: (c, positional, keyword) => {
    const { input, antialias = false, ...rest } = bound(['input', 'size', 'scale_factor', 'mode', 'align_corners', 'recompute_scale_factor', 'antialias'], positional, keyword);
    if (antialias === true) throw new PenjingError('E_UNSUPPORTED', 'interpolate with antialias=True does not convert here');
    return interpolate(c, input as Value, rest);
  },
  upsample: (c, positional, keyword) => {
    const { input, ...rest } = bound(['input', 'size', 'scale_factor', 'mode', 'align_corners'], positional, keyword);
    return interpolate(c, input as Value, rest);
  },
  normalize, batch_norm: batchNorm,
  softmin: (c, positional, keyword) => {
    const { input, dim = -1 } = bound(['input', 'dim'], positional, keyword);
    return softmin(c, input as Value, dim);
  },
  swish: (c, [self]) => callAten(c, 'aten.silu', [self!]),
  logsigmoid: (c, [self]) => callAten(c, 'aten.log_sigmoid', [self!]),
  multi_dot: (c, [list]) => (list as Value[]).reduce((a, b) => call(c, 'matmul', [a, b])),
  size: (c, [self, dim]) => (dim === undefined ? c.sizes(self as Value) : c.size(self as Value, dim as number)),
  ndimension: (c, [self]) => c.rank(self as Value),
  embedding: (c, positional, keyword) => {
    // Indices first in torch.nn.functional, weights first in ATen.
    const { input, weight } = bound(['input', 'weight', 'padding_idx'], positional, keyword);
    return callAten(c, 'aten.embedding', [weight!, input!]);
  },
  to: (c, [self, dtype]) => (typeof dtype === 'string' ? c.cast(self as Value, dtype as DType) : (self as AtenResult)),
};

/** A function of torch, torch.nn.functional or a method of a tensor; undefined when there is none of that name. */
export function callFunction(c: AtenContext, name: string, positional: readonly AtenArgument[], keyword: Keyword): AtenResult | undefined {
  if (Object.hasOwn(functionals, name)) return functionals[name]!(c, positional, keyword);
  return hasAten(name) ? callAten(c, `aten.${name}`, positional, keyword) : undefined;
}
