/** Applies a module of a file to values: by its class, by a definition of the forward, or by what its weights look like. */
import { dtypes, PenjingError, type Tensor, type Value } from '@penjing/core';
import { type AtenArgument, type AtenContext, type AtenResult, isValue } from '../../torch/aten/index.js';
import { inferKind } from './infer-kind.js';
import { kinds } from './kinds.js';
import type { ModuleCall } from './module-call.js';
import { isTorchType, type ModuleNode, shortType } from './module-node.js';
import { needsForward } from './skeleton.js';

/** How modules of other classes compute; undefined for those it does not say. */
export type DefinedForward = (type: string, node: ModuleNode, inputs: readonly AtenArgument[]) => AtenResult | undefined;

/** Modules that only pass on to one inside. */
const wrappers: Readonly<Record<string, string>> = { DataParallel: 'module', DistributedDataParallel: 'module', OptimizedModule: '_orig_mod' };

export class ModuleApplier {
  readonly #context: AtenContext;
  readonly #defined: DefinedForward;
  readonly #weights = new Map<Tensor, Value>();

  constructor(context: AtenContext, defined: DefinedForward = () => undefined) {
    this.#context = context;
    this.#defined = defined;
  }

  /** A weight as an initializer, made once however many names it has. */
  weight(node: ModuleNode, name: string): Value | null {
    const tensor = node.tensors.get(name);
    if (!tensor) return null;
    let value = this.#weights.get(tensor);
    if (!value) this.#weights.set(tensor, (value = this.#context.builder.initializer(node.path === '' ? name : `${node.path}.${name}`, tensor)));
    return value;
  }

  /** Throws `E_FORWARD` when nothing says how the module computes. */
  apply(node: ModuleNode, inputs: readonly AtenArgument[], hints: Readonly<Record<string, AtenArgument>> = {}): AtenResult {
    const { type } = node;
    const name = type === undefined ? undefined : shortType(type);
    if (name !== undefined) {
      const defined = this.#defined(name, node, inputs);
      if (defined !== undefined) return defined;
      const inner = wrappers[name] === undefined ? undefined : node.children.get(wrappers[name]);
      if (inner) return this.apply(inner, inputs);
    }
    const kind = typeof hints['kind'] === 'string' ? hints['kind'] : isTorchType(type) ? name : undefined;
    if (kind === undefined && type !== undefined) throw needsForward(node);
    const rest = Object.fromEntries(Object.entries(hints).filter(([hint]) => hint !== 'kind'));
    const composite = kind === undefined && type === undefined && node.children.size > 0 ? inferKind(node) : undefined;
    if (kind === undefined && type === undefined && node.children.size > 0 && composite === undefined) return this.#sequence(node, inputs);
    if (kind === 'Sequential' || (kind === undefined && node.children.size === 0 && node.tensors.size === 0)) return this.#sequence(node, inputs);
    const chosen = kind ?? inferKind(node, integersIn(inputs[0]));
    if (chosen === undefined) {
      throw new PenjingError('E_FORWARD', `the weights of ${node.path} (${[...node.tensors].map(([key, { shape }]) => `${key} [${shape.join(', ')}]`).join(', ')}) could be those of several kinds of module`, {
        hint: `Say which: ${node.path}(x, kind='LayerNorm').`,
      });
    }
    const apply = Object.hasOwn(kinds, chosen) ? kinds[chosen] : undefined;
    if (!apply) {
      if (kind !== undefined && isTorchType(type)) throw needsForward(node);
      throw new PenjingError('E_FORWARD', `there is no kind of module called ${chosen}`, { hint: `Kinds are the classes of torch.nn: ${Object.keys(kinds).slice(0, 8).join(', ')}, ….` });
    }
    const call: ModuleCall = { c: this.#context, node, inputs, hints: rest, weight: (key) => this.weight(node, key), weightOf: (inner, key) => this.weight(inner, key), apply: (inner, given, more) => this.apply(inner, given, more) };
    return this.#context.builder.scope(node.path || chosen, () => apply(call));
  }

  /** One after the other. Modules without weights have left no trace in a state dict: a gap is one of them. */
  #sequence(node: ModuleNode, inputs: readonly AtenArgument[]): AtenResult {
    const children = [...node.children];
    const gap = node.type === undefined ? children.findIndex(([name], i) => name !== String(i)) : -1;
    if (gap >= 0) throw needsForward(node);
    let value = inputs[0] as AtenResult;
    for (const [, child] of children) value = this.apply(child, [value]);
    return value;
  }
}

/** Undefined when the element type is not known. */
function integersIn(value: AtenArgument | undefined): boolean | undefined {
  if (!isValue(value) || value.type?.kind !== 'tensor' || !value.type.dtype) return undefined;
  const { kind } = dtypes[value.type.dtype];
  return kind === 'int' || kind === 'uint';
}
