/** What a reference kernel sees of a node. */
import { PenjingError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import { type Item, type NdArray, numbers } from './array.js';

/** Outputs in order; undefined for an output that the kernel does not compute. */
export type Kernel = (context: KernelContext) => readonly (Item | undefined)[];

export class KernelContext {
  constructor(
    readonly node: Node,
    readonly opset: number,
    readonly items: readonly (Item | undefined)[],
    /** Runs a subgraph on its inputs. */
    readonly subgraph: (graph: Graph, inputs: readonly Item[]) => Item[],
    /** The value of a tensor attribute. */
    readonly attribute: (name: string) => NdArray | undefined,
  ) {}

  get count(): number {
    return this.items.length;
  }

  has(index: number): boolean {
    return this.items[index] !== undefined;
  }

  item(index: number): Item {
    const item = this.items[index];
    if (!item) throw new PenjingError('E_INPUT', `${this.node.describe()} lacks input ${index}`);
    return item;
  }

  /** Input as an array; throws when it is missing or no array. */
  array(index: number): NdArray {
    const item = this.item(index);
    if (item.kind !== 'array') throw new PenjingError('E_INPUT', `${this.node.describe()} wants a tensor as input ${index}`);
    return item;
  }

  optional(index: number): NdArray | undefined {
    return this.has(index) ? this.array(index) : undefined;
  }

  /** All inputs as arrays. */
  arrays(): NdArray[] {
    return this.items.map((_, i) => this.array(i));
  }

  numbers(index: number): Float64Array {
    return numbers(this.array(index));
  }

  /** A short list of integers. */
  ints(index: number): number[] {
    return [...this.numbers(index)];
  }

  /** The single element of an input, or the fallback when it is omitted. */
  number(index: number, fallback: number): number {
    return this.has(index) ? (this.numbers(index)[0] ?? fallback) : fallback;
  }

  unsupported(what: string): PenjingError {
    return new PenjingError('E_UNSUPPORTED', `the reference engine does not do ${what} (${this.node.describe()})`, {
      hint: 'Run the model with the ONNX Runtime engine of @penjing/runtime.',
    });
  }
}
