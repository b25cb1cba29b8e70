/** Forwards in TypeScript: modules of the file and functions of torch as functions, on values that stand for tensors. */
import { PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, type AtenContext, type AtenResult, isFloatScalar, isSym, isValue } from '../../torch/aten/index.js';
import { ModuleApplier } from './apply-module.js';
import { callFunction } from './functionals.js';
import type { ModuleNode } from './module-node.js';

/** A tensor of the graph, or several of them, by number. */
export interface ForwardValue {
  readonly [index: number]: ForwardValue;
}

export type ForwardArgument = ForwardValue | number | boolean | string | null | readonly ForwardArgument[];
/** Arguments by position; those by name stand in an object that comes last. */
export type ForwardCall = (...args: readonly (ForwardArgument | Readonly<Record<string, ForwardArgument>>)[]) => ForwardValue;

/** A module: called it computes, its names are the modules and weights inside. */
export interface ForwardModule extends ForwardCall {
  readonly [name: string]: ForwardModule & ForwardValue;
}

export interface ForwardScope {
  /** By name, as the inputs declare them. */
  readonly inputs: Readonly<Record<string, ForwardValue>>;
  /** Functions of torch and torch.nn.functional, methods of tensors too: `relu(x)`, `view(x, -1, 100)`, `softmax(x, { dim: 1 })`. */
  readonly f: Readonly<Record<string, ForwardCall>>;
}

export type ForwardFunction = (model: ForwardModule, scope: ForwardScope) => ForwardValue | readonly ForwardValue[] | Readonly<Record<string, ForwardValue>>;

export interface ModuleDefinition {
  /** As in `x:f32[N,100]`. */
  readonly inputs: readonly string[];
  readonly forward: ForwardFunction;
  /** How modules of other classes compute, by the name of the class. */
  readonly blocks?: Readonly<Record<string, (block: ForwardModule, f: ForwardScope['f'], ...inputs: ForwardValue[]) => ForwardValue>>;
}

/**
 * The forward of a model in TypeScript, for `modelFromPytorch`:
 *
 *     defineModule({
 *       inputs: ['x:f32[N,100]'],
 *       forward: ({ layer1, layer2 }, { inputs: { x }, f: { relu } }) => layer2(relu(layer1(x))),
 *     });
 */
export function defineModule(definition: ModuleDefinition): ModuleDefinition {
  return definition;
}

/** Results by name, where the forward gives names. */
export function runDefinition({ forward, blocks = {} }: ModuleDefinition, root: ModuleNode, inputs: ReadonlyMap<string, Value>, context: AtenContext): AtenResult | Readonly<Record<string, AtenResult>> {
  const applier = new ModuleApplier(context, (type, node, given) => {
    if (!Object.hasOwn(blocks, type)) return undefined;
    return blocks[type]!(proxied(node), f, ...(given as unknown as ForwardValue[])) as unknown as AtenResult;
  });
  const proxied = (node: ModuleNode): ForwardModule =>
    new Proxy((() => undefined) as unknown as ForwardModule, {
      get(_, name) {
        const child = node.children.get(String(name));
        if (child) return proxied(child);
        const weight = applier.weight(node, String(name));
        if (weight) return weight;
        if (typeof name === 'symbol') return undefined;
        throw new PenjingError('E_FORWARD', `${node.path || 'the model'} has no ${name}`, { hint: `It has ${[...node.children.keys(), ...node.tensors.keys()].slice(0, 20).join(', ') || 'nothing'}.` });
      },
      apply(_, __, args: unknown[]) {
        const { positional, keyword } = split(args);
        return applier.apply(node, positional, keyword);
      },
    });
  const f = new Proxy({}, {
    get: (_, name) => (...args: unknown[]) => {
      const { positional, keyword } = split(args);
      const result = callFunction(context, String(name), positional, keyword);
      if (result === undefined) throw new PenjingError('E_FORWARD', `there is no function called ${String(name)}`);
      return result;
    },
  });
  return forward(proxied(root), { inputs: Object.fromEntries(inputs) as unknown as ForwardScope['inputs'], f }) as unknown as AtenResult;
}

function split(args: readonly unknown[]): { positional: AtenArgument[]; keyword: Readonly<Record<string, AtenArgument>> } {
  const last = args.at(-1);
  const named = typeof last === 'object' && last !== null && !Array.isArray(last) && !isValue(last) && !isSym(last) && !isFloatScalar(last);
  return { positional: (named ? args.slice(0, -1) : args) as AtenArgument[], keyword: (named ? last : {}) as Readonly<Record<string, AtenArgument>> };
}
