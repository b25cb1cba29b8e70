/** What a tensor-parallel run computes between its collectives, estimated from the cut blocks of the model. */
import type { CostBook } from '../cost/cost-book.js';
import type { NodeCost } from '../cost/model-cost.js';
import { type Seconds, secondsOf } from '../cost/roofline.js';
import type { EngineSpeed } from '../plan/device.js';
import type { Part } from '../plan/plan.js';

export interface TensorSegment {
  readonly secondsOn: (speed: EngineSpeed, shards: number) => Seconds;
  /** Bytes of the sums that are added over the shards at its end. */
  readonly reducedBytes: number;
}

/**
 * A pair of products is cut by columns and by rows, which takes one sum over the shards per pair: the border of a block with two
 * products or more. What stands outside of the products of a block (norms, the residual sum) every shard computes whole.
 */
export function tensorSegments(book: CostBook, part: Part, rows: number): TensorSegment[] {
  const inside = new Map(book.nodes(part, rows).map((cost) => [cost.node, cost]));
  const { bytesOf } = book.at(rows);
  return book.blocks.flatMap((block): TensorSegment[] => {
    const costs = block.nodes.map((node) => inside.get(node)).filter((cost) => cost !== undefined);
    if (costs.length === 0) return [];
    const products = costs.map((cost, i) => (isCut(cost) ? i : -1)).filter((i) => i >= 0);
    const [from, to] = [products[0] ?? 0, products.at(-1) ?? -1];
    const whole = costs.filter((_, i) => i < from || i > to);
    const cut = costs.slice(from, to + 1);
    const reduced = products.length >= 2 ? cut.at(-1)!.node.outputs[0] : undefined;
    return [{
      secondsOn: remembered((speed, shards) => secondsOf([...whole, ...cut.map((cost) => dividedBy(cost, shards))], speed)),
      reducedBytes: reduced ? bytesOf(reduced) : 0,
    }];
  });
}

const CUT = new Set(['product', 'packed', 'integer', 'convolution']);

/** Products with weights; those of activations in between are cut by heads. */
function isCut({ kind, weightBytes }: NodeCost): boolean {
  return CUT.has(kind) && weightBytes > 0;
}

function dividedBy(cost: NodeCost, shards: number): NodeCost {
  return { ...cost, flops: cost.flops / shards, weightBytes: cost.weightBytes / shards, activationBytes: cost.activationBytes / shards };
}

/** Shards on devices that are alike are asked for over and over. */
function remembered(compute: TensorSegment['secondsOn']): TensorSegment['secondsOn'] {
  const known = new Map<EngineSpeed, Seconds>();
  return (speed, shards) => {
    const found = known.get(speed) ?? compute(speed, shards);
    known.set(speed, found);
    return found;
  };
}
