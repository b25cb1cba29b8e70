/** Names that are taken in some graphs, and new ones beside them. */
import type { Graph } from './graph.js';

/**
 * Given every graph of a model, it makes names that collide nowhere: neither with another value, nor with one of the
 * same name in an outer or inner graph, which would hide it.
 */
export class Names {
  readonly #taken = new Set<string>();

  constructor(graphs: Iterable<Graph>) {
    for (const graph of graphs) {
      for (const value of [...graph.inputs, ...graph.initializers.values()]) this.#taken.add(value.name);
      for (const node of graph.nodes()) {
        this.#taken.add(node.name);
        for (const value of node.outputs) this.#taken.add(value.name);
      }
    }
  }

  has(name: string): boolean {
    return this.#taken.has(name);
  }

  /** `base`, or `base_1`, `base_2` … when it is taken; taken from now on. */
  claim(base: string): string {
    let name = base;
    for (let i = 1; this.#taken.has(name); i++) name = `${base}_${i}`;
    this.#taken.add(name);
    return name;
  }
}
