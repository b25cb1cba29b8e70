/** Minimum cut of a small network, by augmenting shortest paths (Edmonds and Karp, 1972). */

/** A capacity that no cut can pay. */
export const UNBOUNDED = Infinity;

export class Network {
  readonly #edges: { readonly to: number; capacity: number }[] = [];
  readonly #from: number[][] = [];

  node(): number {
    return this.#from.push([]) - 1;
  }

  /** Parts `from` (source side) from `to` (sink side) at this price. */
  edge(from: number, to: number, capacity: number): void {
    this.#from[from]!.push(this.#edges.push({ to, capacity }) - 1);
    this.#from[to]!.push(this.#edges.push({ to: from, capacity: 0 }) - 1);
  }

  /** The nodes on the side of the source in a cheapest cut. Source and sink must not be joined by unbounded edges. */
  cut(source: number, sink: number): Set<number> {
    for (;;) {
      const arrivals = this.#search(source);
      if (!arrivals.has(sink)) return new Set(arrivals.keys());
      let flow = UNBOUNDED;
      const path: number[] = [];
      for (let at = sink; at !== source; at = this.#edges[path.at(-1)! ^ 1]!.to) {
        const edge = arrivals.get(at)!;
        path.push(edge);
        flow = Math.min(flow, this.#edges[edge]!.capacity);
      }
      if (flow === UNBOUNDED) throw new Error('source and sink cannot be parted');
      for (const edge of path) {
        this.#edges[edge]!.capacity -= flow;
        this.#edges[edge ^ 1]!.capacity += flow;
      }
    }
  }

  /** Every node that is reached along edges with capacity, with the edge that led to it. */
  #search(source: number): Map<number, number> {
    const arrivals = new Map([[source, -1]]);
    for (const node of arrivals.keys()) {
      for (const index of this.#from[node]!) {
        const { to, capacity } = this.#edges[index]!;
        if (capacity > 0 && !arrivals.has(to)) arrivals.set(to, index);
      }
    }
    return arrivals;
  }
}
