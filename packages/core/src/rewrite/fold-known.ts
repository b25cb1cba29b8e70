/** Stores what shape inference already knows: sizes, counts and the integer arithmetic over them. */
import { denseOf } from '../builder.js';
import { dtypes } from '../dtype.js';
import { elementCount } from '../shape.js';
import type { DenseTensor } from '../tensor.js';
import type { Budget } from './budget.js';
import type { Rewriter } from './rewriter.js';
import { nodeBytes, tensorBytes } from './stored-size.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isDeterministic } from './foldable.js';

/** Folds the outputs of one node whose elements are known. Gives true when there were any. */
export function foldKnown(node: Node, context: Rewriter, budget: Budget): boolean {
  if (node.opType === 'Constant' || !isDeterministic(node)) return false;
  let changed = false;
  for (const [index, value] of node.outputs.entries()) {
    if (value.name === '' || !context.isUsed(value)) continue;
    const tensor = knownTensor(value, context);
    if (!tensor) continue;
    const grown = tensorBytes(tensor, value.name) - nodeBytes(node, (out) => context.isOutput(out));
    if (!budget.allows(grown)) continue;
    budget.spend(grown);
    context.storeOutput(node, index, tensor);
    changed = true;
    if (!node.graph) break;
  }
  return changed;
}

function knownTensor(value: Value, context: Rewriter): DenseTensor | undefined {
  if (context.weight(value)) return undefined;
  const numbers = context.numbers(value);
  const shape = context.fixedShape(value);
  const dtype = context.dtype(value);
  if (!numbers || !shape || !dtype || dtypes[dtype].bits < 8 || elementCount(shape) !== numbers.length) return undefined;
  return dtypes[dtype].kind === 'float' ? undefined : denseOf(dtype, shape, numbers);
}
