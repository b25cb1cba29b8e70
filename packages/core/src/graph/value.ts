/** An edge of the graph: produced once, used many times. */
import type { Tensor } from '../tensor.js';
import type { Node } from './node.js';
import type { ValueType } from './value-type.js';

/** One place where a value is consumed: input `index` of `node`. */
export interface Use {
  readonly node: Node;
  readonly index: number;
}

export class Value {
  name: string;
  type: ValueType | undefined;
  doc = '';
  /** Saved metadata (ValueInfoProto.metadata_props). */
  readonly metadata = new Map<string, string>();
  /** Known content: an initializer, or undefined for a computed value. */
  tensor: Tensor | undefined;
  /** Fields this version does not know, carried byte for byte. */
  extra: Uint8Array | undefined;

  /** @internal kept by Node */
  _producer: Node | undefined;
  /** @internal kept by Node */
  readonly _uses = new Map<Node, Set<number>>();

  constructor(name: string, type?: ValueType, tensor?: Tensor) {
    this.name = name;
    this.type = type ?? (tensor && { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape });
    this.tensor = tensor;
  }

  /** The node that computes this value; undefined for graph inputs and initializers. */
  get producer(): Node | undefined {
    return this._producer;
  }

  /** Every consuming node input, in subgraphs too. Graph outputs are not uses. */
  uses(): Use[] {
    const uses: Use[] = [];
    for (const [node, indices] of this._uses) for (const index of indices) uses.push({ node, index });
    return uses;
  }

  get useCount(): number {
    let count = 0;
    for (const indices of this._uses.values()) count += indices.size;
    return count;
  }

  /** Makes every node that reads this value read `other` instead. Graph outputs are left as they are. */
  replaceUsesWith(other: Value): void {
    for (const { node, index } of this.uses()) node.setInput(index, other);
  }
}
