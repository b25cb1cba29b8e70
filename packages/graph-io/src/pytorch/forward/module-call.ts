/** What a class of torch.nn is given when it is applied, and how its arguments are found. */
import { PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, type AtenContext, type AtenResult, callAten } from '../../torch/aten/index.js';
import type { ModuleNode } from './module-node.js';

/** A module applied to its inputs. */
export interface ModuleCall {
  readonly c: AtenContext;
  readonly node: ModuleNode;
  readonly inputs: readonly AtenArgument[];
  /** Arguments of the constructor that the forward gives, for files that do not hold them. */
  readonly hints: Readonly<Record<string, AtenArgument>>;
  /** A parameter or buffer of the module; null when it has none of that name. */
  weight(name: string): Value | null;
  /** The same of a module inside. */
  weightOf(node: ModuleNode, name: string): Value | null;
  /** Applies a module inside; throws what it throws. */
  apply(node: ModuleNode, inputs: readonly AtenArgument[], hints: Readonly<Record<string, AtenArgument>>): AtenResult;
}

export type Kind = (call: ModuleCall) => AtenResult;

/** An argument of the constructor: from the forward, from the file, or torch's default. */
export function option(call: ModuleCall, name: string, fallback: AtenArgument): AtenArgument {
  const given = Object.hasOwn(call.hints, name) ? call.hints[name] : call.node.attribute(name);
  return given === undefined ? fallback : given;
}

/** Calls `target` with the input and these options as keywords. */
export const plain = (target: string, options: Readonly<Record<string, AtenArgument>> = {}): Kind => (call) =>
  callAten(call.c, `aten.${target}`, [call.inputs[0]!], Object.fromEntries(Object.entries(options).map(([name, fallback]) => [name, option(call, name, fallback)])));

/** A weight that the module cannot do without. Throws `E_WEIGHTS`. */
export function needed(call: ModuleCall, name: string): Value {
  const value = call.weight(name);
  if (value) return value;
  const normed = call.node.tensors.has(`${name}_g`) || call.node.children.has('parametrizations');
  throw new PenjingError('E_WEIGHTS', `${call.node.path} has no ${name}${normed ? ', it computes it from other tensors' : ''}`, {
    hint: normed ? 'Remove the parametrization before saving: torch.nn.utils.parametrize.remove_parametrizations or remove_weight_norm.' : 'Is it another kind of module? Say so: module(x, kind=\'LayerNorm\').',
  });
}
