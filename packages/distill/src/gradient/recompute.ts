/** Forward passes that are computed once more for their gradients, instead of being kept (Chen et al. 2016, arXiv:1604.06174). */
import { blocks, type Model, type Node, type Value } from '@penjing/core';
import type { GradientOps } from './ops.js';

export interface Recomputation {
  /** The node whose values the gradients of `node` read: another, of the second pass, or itself. */
  twin(node: Node): Node;
  /** The value of the first pass that a value of the second stands for. */
  original(value: Value): Value;
  /** Nodes of second passes so far. */
  readonly twins: ReadonlySet<Node>;
}

/** Names of the activations between the blocks of a model, for `DifferentiateOptions.keep`. To be asked before weights become inputs. */
export function blockOutputs(model: Model): string[] {
  return blocks(model).slice(0, -1).flatMap(({ activations }) => activations.map(({ name }) => name));
}

/** Operators that give something else the second time, or have an effect beside their output. */
const once = new Set(['BatchNormalization', 'Bernoulli', 'Dropout', 'Multinomial', 'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike']);

const repeatable = (node: Node): boolean => !once.has(node.opType) && node.subgraphs().length === 0 && node.outputs.every(({ name }) => name !== '');

/** Cuts `path`, the nodes with gradients in order, behind the values that are kept. All but the last part is computed again, when the gradient of what comes out of it is there. */
export function recomputation(path: readonly Node[], kept: ReadonlySet<Value>, ops: GradientOps, gradientOf: (value: Value) => Value | undefined): Recomputation {
  const parts: Node[][] = [[]];
  for (const node of path) {
    parts.at(-1)!.push(node);
    if (node.outputs.some((output) => kept.has(output))) parts.push([]);
  }
  const again = parts.slice(0, -1);
  const partOf = new Map(again.flatMap((part) => part.map((node) => [node, part] as const)));
  const onPath = new Set(path.flatMap((node) => [...node.outputs]));
  const made = new Map<Node, Node>();
  const originals = new Map<Value, Value>();
  const begun = new Set<Node[]>();

  function begin(part: Node[]): void {
    begun.add(part);
    const trigger = part.flatMap((node) => [...node.outputs]).map(gradientOf).find((gradient) => gradient !== undefined);
    if (!trigger) return;
    const inside = new Map<Value, Value>();
    const late = new Map<Value, Value>();
    const read = (value: Value | null): Value | null => {
      if (!value) return null;
      const known = inside.get(value);
      if (known || !onPath.has(value)) return known ?? value;
      const waiting = late.get(value) ?? ops.after(value, trigger);
      late.set(value, waiting);
      originals.set(waiting, value);
      return waiting;
    };
    for (const node of part.filter(repeatable)) {
      const outputs = ops.nodes(node.opType, node.inputs.map(read), Object.fromEntries(node.attributes), { domain: node.domain, outputCount: node.outputs.length });
      outputs.forEach((output, i) => {
        inside.set(node.output(i), output);
        originals.set(output, node.output(i));
      });
      made.set(node, outputs[0]!.producer!);
    }
  }

  return {
    twin(node) {
      const part = partOf.get(node);
      if (part && !begun.has(part)) ops.scope('again', () => begin(part));
      return made.get(node) ?? node;
    },
    original: (value) => originals.get(value) ?? value,
    get twins() {
      return new Set(made.values());
    },
  };
}
