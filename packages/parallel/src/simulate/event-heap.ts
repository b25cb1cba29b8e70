/** Events in order of time, those of the same time in the order in which they were pushed. */

export class EventHeap<T> {
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #items: T[] = [];
  #pushed = 0;
  /** Time of the event popped last. */
  now = 0;

  push(time: number, item: T): void {
    let at = this.#items.length;
    this.#put(at, time, this.#pushed++, item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): T | undefined {
    const item = this.#items[0];
    if (item === undefined) return undefined;
    this.now = this.#times[0]!;
    this.#swap(0, this.#items.length - 1);
    this.#items.pop();
    this.#times.pop();
    this.#orders.pop();
    for (let at = 0; ; ) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < this.#items.length && this.#isBefore(child, first)) first = child;
      if (first === at) return item;
      this.#swap(at, first);
      at = first;
    }
  }

  #isBefore(a: number, b: number): boolean {
    return this.#times[a]! < this.#times[b]! || (this.#times[a] === this.#times[b] && this.#orders[a]! < this.#orders[b]!);
  }

  #put(at: number, time: number, order: number, item: T): void {
    this.#times[at] = time;
    this.#orders[at] = order;
    this.#items[at] = item;
  }

  #swap(a: number, b: number): void {
    const [time, order, item] = [this.#times[a]!, this.#orders[a]!, this.#items[a]!];
    this.#put(a, this.#times[b]!, this.#orders[b]!, this.#items[b]!);
    this.#put(b, time, order, item);
  }
}
