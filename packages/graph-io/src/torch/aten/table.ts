/** The ATen table: every operator that converts, by name and overload, and calls by name. */
import { PenjingError } from '@penjing/core';
import { type AtenCall, bind } from './bind.js';
import type { AtenContext } from './context.js';
import { activations } from './ops/activation.js';
import { arithmetics } from './ops/arithmetic.js';
import { attentions } from './ops/attention.js';
import { convolutions } from './ops/conv.js';
import { creations } from './ops/creation.js';
import { elementwise } from './ops/elementwise.js';
import { unchanged } from './ops/identity.js';
import { embeddingBags } from './ops/embedding-bag.js';
import { gradients } from './ops/gradients.js';
import { images } from './ops/image.js';
import { indexing } from './ops/indexing.js';
import { linalg } from './ops/linalg.js';
import { movements } from './ops/movement.js';
import { multiHeads } from './ops/multi-head.js';
import { norms } from './ops/norm.js';
import { pools } from './ops/pool.js';
import { recurrent } from './ops/recurrent.js';
import { reductions } from './ops/reduce.js';
import { sizes } from './ops/sizes.js';
import type { AtenRow } from './row.js';
import type { AtenResult } from './values.js';

/** Rows by family, in the order of the documentation. */
export const atenFamilies: Readonly<Record<string, readonly AtenRow[]>> = {
  'element-wise': elementwise, arithmetic: arithmetics, activation: activations, reduction: reductions, movement: movements, indexing: [...indexing, ...embeddingBags],
  'linear algebra': linalg, convolution: convolutions, pooling: pools, normalization: norms, attention: [...attentions, ...multiHeads], recurrent, image: images,
  creation: creations, size: sizes, gradient: gradients, identity: unchanged,
};

interface Index {
  /** By `add.Tensor`. */
  readonly byOverload: ReadonlyMap<string, readonly AtenRow[]>;
  /** By `add`, for calls that do not say the overload. */
  readonly byName: ReadonlyMap<string, readonly AtenRow[]>;
}

let made: Index | undefined;

/** Made by the first call: parsing all signatures takes longer than loading them. */
function index(): Index {
  if (made) return made;
  const byOverload = new Map<string, AtenRow[]>();
  const byName = new Map<string, AtenRow[]>();
  for (const row of Object.values(atenFamilies).flat()) {
    const { name, overloads } = row.signature;
    for (const overload of overloads) push(byOverload, `${name}.${overload}`, row);
    push(byName, name, row);
  }
  return (made = { byOverload, byName });
}

function push(map: Map<string, AtenRow[]>, key: string, row: AtenRow): void {
  const rows = map.get(key);
  if (rows) rows.push(row);
  else map.set(key, [row]);
}

/** `aten.add_.Tensor`, `aten::add`, `add`: the name and the overload, if it is said. */
function parseTarget(target: string): { readonly name: string; readonly overload: string | undefined } {
  const [name, overload] = target.replace(/^(torch\.ops\.)?aten(\.|::)/, '').split('.');
  return { name: name!, overload };
}

/** An operator that writes into its first argument computes the same as the one without the underscore. */
export function isInPlace(target: string): boolean {
  const { name } = parseTarget(target);
  return name.endsWith('_') && !name.endsWith('__') && !index().byName.has(name);
}

/** Rows that may take a call, empty when the operator is not in the table. */
function rowsFor(target: string): readonly AtenRow[] {
  const { name, overload } = parseTarget(target);
  const { byName, byOverload } = index();
  for (const own of name.endsWith('_') ? [name, name.slice(0, -1)] : [name]) {
    const rows = overload === undefined ? byName.get(own) : byOverload.get(`${own}.${overload}`);
    if (rows) return rows;
  }
  return [];
}

/** `aten.add.out` is `aten.add` with a place for its result. */
export function hasAten(target: string): boolean {
  return rowsFor(target.replace(/\.out$/, '')).length > 0;
}

/**
 * Appends the ONNX form of one ATen call. `target` is `aten.add.Tensor`, or without the overload, which then follows from
 * the arguments. Throws `E_UNSUPPORTED` for an operator or a form of it that is not in the table, `E_ARGUMENT` for
 * arguments that do not fit its signature, `E_TRAINING` for one that behaves as in training.
 */
export function callAten(context: AtenContext, target: string, positional: AtenCall['positional'], keyword: AtenCall['keyword'] = {}): AtenResult {
  const rows = rowsFor(target);
  context.operator = target;
  if (rows.length === 0) throw context.unsupported('there is no ONNX form of it in the table', 'docs/aten-operators.md lists what converts.');
  const problems: string[] = [];
  for (const { signature, build } of rows) {
    const bound = bind(signature, { positional, keyword });
    if ('problem' in bound) problems.push(`${bound.problem} (${signature.text})`);
    else return built(target, () => (build as (c: AtenContext, args: unknown) => AtenResult)(context, bound.arguments));
  }
  throw new PenjingError('E_ARGUMENT', `${target}: ${problems.join('; ')}`, { details: { operator: target } });
}

/**
 * Rows trust what PyTorch checks when a program is made: that an odd number of paddings or a stride without its axis never
 * comes. A damaged program has them; what a row then trips over is said of the arguments.
 */
function built(target: string, build: () => AtenResult): AtenResult {
  try {
    return build();
  } catch (cause) {
    if (!(cause instanceof TypeError || cause instanceof RangeError)) throw cause;
    throw new PenjingError('E_ARGUMENT', `${target}: its arguments do not fit together (${cause.message})`, { cause, hint: 'Export the model again.', details: { operator: target } });
  }
}

/** Names with overloads (`add.Tensor`) that have a row, by family: what the documentation lists. */
export function atenOperators(): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(Object.entries(atenFamilies).map(([family, rows]) => {
    const names = rows.flatMap(({ signature: { name, overloads } }) => overloads.map((overload) => (overload === 'default' ? name : `${name}.${overload}`)));
    return [family, [...new Set(names)].sort()];
  }));
}
