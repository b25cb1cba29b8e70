/** Axes that must be cut together, because operators go along them: the candidates for sharding. */
import type { Node, Value } from '@penjing/core';
import type { GraphFacts } from './graph-facts.js';
import type { Slot, Way } from './rule.js';

/** An axis of a value; a constant has others at each use, since every use may cut it as it likes. */
export type AxisKey = string;

/** One way of one node in the graph. */
export interface WayUse {
  readonly node: Node;
  readonly way: Way;
  /** By input and by output; undefined where the way has no slot. */
  readonly inputs: readonly (AxisKey | undefined)[];
  readonly outputs: readonly (AxisKey | undefined)[];
  /** Name of this use of the node; differs from use to use for nodes that only compute constants. */
  readonly path: string;
}

export interface Component {
  readonly uses: readonly WayUse[];
  /** Ways of nodes that only compute constants, by the path of their use. */
  readonly constants: ReadonlyMap<string, readonly WayUse[]>;
}

/** Path of a constant as input `index` of the node with a path. */
export const inputPath = (path: string, index: number): string => `${path}.${index}`;

export class AxisNames {
  readonly #numbers = new Map<Value, number>();

  value(value: Value, axis: number): AxisKey {
    let number = this.#numbers.get(value);
    if (number === undefined) this.#numbers.set(value, (number = this.#numbers.size));
    return `v${number}:${axis}`;
  }

  constant(path: string, axis: number): AxisKey {
    return `c${path}:${axis}`;
  }
}

/** Components with a weight that can be cut. */
export function findComponents(facts: GraphFacts, names: AxisNames): Component[] {
  const groups = new Groups();
  const uses: WayUse[] = [];
  const constants = new Map<string, WayUse[]>();

  const visit = (node: Node, path: string, outputKey: (value: Value, axis: number) => AxisKey): WayUse[] => {
    const found = facts.ways(node).flatMap((way): WayUse[] => {
      if (way.inputs.includes('partial')) return [];
      const key = (value: Value, axis: number, index: number): AxisKey => (facts.constant.has(value) ? names.constant(inputPath(path, index), axis) : names.value(value, axis));
      return [{
        node, way, path,
        inputs: way.inputs.map((place, i) => (isSlot(place) && node.inputs[i] ? key(node.inputs[i], place.axis, i) : undefined)),
        outputs: way.outputs.map((place, i) => (isSlot(place) && node.outputs[i]!.name !== '' ? outputKey(node.outputs[i]!, place.axis) : undefined)),
      }];
    });
    for (const { inputs, outputs } of found) groups.join([...inputs, ...outputs].filter((key) => key !== undefined));
    node.inputs.forEach((value, i) => {
      if (value?.producer && facts.constant.has(value) && found.some(({ inputs }) => inputs[i])) {
        const inner = inputPath(path, i);
        constants.set(inner, visit(value.producer, inner, (output, axis) => (output === value ? names.constant(inner, axis) : names.constant(`${inner}:${output.name}`, axis))));
      }
    });
    return found;
  };

  facts.nodes.forEach((node, i) => {
    if (!node.outputs.every((value) => facts.constant.has(value))) uses.push(...visit(node, String(i), (value, axis) => names.value(value, axis)));
  });

  const byGroup = new Map<AxisKey, WayUse[]>();
  for (const use of uses) {
    const key = [...use.inputs, ...use.outputs].find((found) => found !== undefined);
    if (key === undefined) continue;
    const group = groups.of(key);
    const list = byGroup.get(group);
    if (list) list.push(use);
    else byGroup.set(group, [use]);
  }
  return [...byGroup.values()].filter((list) => list.some(({ way, inputs, node }) => way.weight !== undefined && inputs[way.weight] && facts.constant.has(node.inputs[way.weight]!))).map((list) => ({ uses: list, constants }));
}

export function isSlot(place: Way['inputs'][number] | undefined): place is Slot {
  return typeof place === 'object' && place !== null;
}

/** Union-find. */
class Groups {
  readonly #parents = new Map<AxisKey, AxisKey>();

  of(key: AxisKey): AxisKey {
    let at = key;
    for (let parent = this.#parents.get(at); parent !== undefined; parent = this.#parents.get(at)) at = parent;
    if (at !== key) this.#parents.set(key, at);
    return at;
  }

  join([first, ...rest]: readonly AxisKey[]): void {
    if (first === undefined) return;
    for (const key of rest) {
      const [a, b] = [this.of(first), this.of(key)];
      if (a !== b) this.#parents.set(b, a);
    }
  }
}
