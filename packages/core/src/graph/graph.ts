/** An ordered list of nodes between inputs and outputs; nodes may be edited while they are iterated. */
import { PenjingError } from '../errors.js';
import type { Tensor } from '../tensor.js';
import type { Node } from './node.js';
import { Value } from './value.js';

export class Graph {
  name: string;
  doc = '';
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  /** Values with known content, by name. A value may be an input too (its default). */
  readonly initializers = new Map<string, Value>();
  readonly metadata = new Map<string, string>();
  /** Fields this version does not know (quantization annotations among them), carried byte for byte. */
  extra: Uint8Array | undefined;

  #first: Node | undefined;
  #last: Node | undefined;
  #count = 0;

  constructor(name = '') {
    this.name = name;
  }

  get nodeCount(): number {
    return this.#count;
  }

  /** Nodes in execution order. The node in hand may be removed, and nodes inserted, during the walk. */
  *nodes(): Generator<Node, void, undefined> {
    let node = this.#first;
    while (node) {
      // A node that is removed keeps its old link, so the walk can go on from it.
      const current = node;
      yield current;
      node = current._graph === this ? current._next : this.#resume(current);
    }
  }

  append(node: Node): Node {
    return this.#link(node, this.#last, undefined);
  }

  insertBefore(anchor: Node, node: Node): Node {
    this.#own(anchor);
    return this.#link(node, anchor._prev, anchor);
  }

  insertAfter(anchor: Node, node: Node): Node {
    this.#own(anchor);
    return this.#link(node, anchor, anchor._next);
  }

  /** Takes a node out and lets go of its inputs. Throws `E_GRAPH` while one of its outputs is used. */
  remove(node: Node): void {
    this.#own(node);
    for (const output of node.outputs) {
      if (output.useCount > 0 || this.outputs.includes(output)) {
        throw new PenjingError('E_GRAPH', `${node.describe()} cannot be removed: ${output.name} is used`);
      }
    }
    for (let i = 0; i < node.inputs.length; i++) node.setInput(i, null);
    if (node._prev) node._prev._next = node._next;
    else this.#first = node._next;
    if (node._next) node._next._prev = node._prev;
    else this.#last = node._prev;
    node._graph = undefined;
    this.#count--;
  }

  /** Adds a named weight. Throws `E_GRAPH` when the name is taken. */
  addInitializer(name: string, tensor: Tensor): Value {
    if (this.initializers.has(name)) throw new PenjingError('E_GRAPH', `initializer ${name} exists already`);
    const value = new Value(name, undefined, tensor);
    this.initializers.set(name, value);
    return value;
  }

  /** Replaces `old` by `value` as input of nodes and as output of this graph. */
  replaceValue(old: Value, value: Value): void {
    old.replaceUsesWith(value);
    this.outputs.forEach((output, index) => {
      if (output === old) this.outputs[index] = value;
    });
  }

  #own(node: Node): void {
    if (node._graph !== this) throw new PenjingError('E_GRAPH', `${node.describe()} is not in graph ${this.name}`);
  }

  #link(node: Node, prev: Node | undefined, next: Node | undefined): Node {
    if (node._graph) throw new PenjingError('E_GRAPH', `${node.describe()} is already in a graph`);
    node._graph = this;
    node._prev = prev;
    node._next = next;
    if (prev) prev._next = node;
    else this.#first = node;
    if (next) next._prev = node;
    else this.#last = node;
    this.#count++;
    return node;
  }

  #resume(removed: Node): Node | undefined {
    let node = removed._next;
    while (node && node._graph !== this) node = node._next;
    return node;
  }
}
