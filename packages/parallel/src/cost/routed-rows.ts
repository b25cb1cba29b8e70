/** How many tokens reach each expert of a mixture: what a run decides, as it is to be expected when the experts are chosen about equally often. */
import { type DenseTensor, elementCount, type Model, type Node, type Shape, type Value } from '@penjing/core';

export interface RoutedRows {
  /** Rows of an expert that some token chose. */
  readonly rows: number;
  /** That any token chose it. */
  readonly chance: number;
}

/** Who chooses: a table with the shares of all tokens, of which a graph may have only some experts. */
interface Router {
  readonly scatter: Node;
  readonly experts: number;
  /** Experts of a token. */
  readonly perToken: number;
}

/**
 * By the node that counts the tokens of an expert (NonZero of its shares); the types of the model must be known as far as they follow from the inputs. Where a graph has only some of the experts, as a shard
 * has, it is the one with most to do, for which the others wait.
 */
export function routedRows(model: Model): Map<Node, RoutedRows> {
  const routers = new Map<Node, Router>();
  for (const node of model.graph.nodes()) {
    const router = node.opType === 'NonZero' && node.domain === '' ? routerOf(node.inputs[0]) : undefined;
    if (router && sizesOf(node.inputs[0])) routers.set(node, router);
  }
  const here = new Map<Node, number>();
  for (const { scatter } of routers.values()) here.set(scatter, (here.get(scatter) ?? 0) + 1);
  return new Map([...routers].map(([node, router]) => {
    const tokens = elementCount(sizesOf(node.inputs[0])!);
    const each = router.perToken / router.experts;
    const excess = excessOfBusiest(router, here.get(router.scatter)!, tokens);
    const chance = Math.min(1, (1 - (1 - each) ** tokens) * excess);
    return [node, { chance, rows: chance === 0 ? 0 : Math.max(1, Math.round((tokens * each * excess) / chance)) }];
  }));
}

/**
 * How many times the mean falls to the one that has most to do of groups with `held` experts: choices are drawn without putting back, so what falls to a group has a standard deviation, and the largest of N
 * normal numbers lies about √(2 ln N) − 0.61 of it above the mean (within 0.05 for 2 to 32).
 */
function excessOfBusiest({ experts, perToken }: Router, held: number, tokens: number): number {
  const groups = experts / held;
  if (groups <= 1 || tokens === 0 || perToken >= experts) return 1;
  const deviation = Math.sqrt((groups * (experts - perToken)) / ((experts - 1) * tokens * perToken));
  return Math.min(groups, 1 + Math.max(0, Math.sqrt(2 * Math.log(groups)) - 0.61) * deviation);
}

/** What only moves numbers about, from its first input. */
const MOVES: ReadonlySet<string> = new Set(['Gather', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Cast', 'Identity', 'Slice', 'Split']);

/** What scatters a few numbers along an axis of zeros. */
function routerOf(value: Value | null | undefined): Router | undefined {
  const node = value?.producer;
  if (!node || node.domain !== '') return undefined;
  if (MOVES.has(node.opType)) return routerOf(node.inputs[0]);
  if (node.opType !== 'ScatterElements' || !isZero(node.inputs[0])) return undefined;
  const [whole, chosen] = [sizesOf(node.inputs[0]), sizesOf(node.inputs[1])];
  const axis = node.int('axis', 0);
  const [experts, perToken] = [whole?.at(axis), chosen?.at(axis)];
  return experts && perToken ? { scatter: node, experts, perToken } : undefined;
}

/** Zeros of the shape of something: a product with zero, or one that was spread out. */
function isZero(value: Value | null | undefined): boolean {
  if (value?.tensor) return value.tensor.kind === 'dense' && (value.tensor as DenseTensor).bytes.every((byte) => byte === 0);
  const node = value?.producer;
  if (node?.domain !== '') return false;
  if (node.opType === 'Mul') return node.inputs.some((input) => input?.tensor !== undefined && isZero(input));
  return node.opType === 'Expand' ? isZero(node.inputs[0]) : node.opType === 'ConstantOfShape' && !node.attributes.has('value');
}

function sizesOf(value: Value | null | undefined): Shape | undefined {
  const shape = value?.tensor?.shape ?? (value?.type?.kind === 'tensor' ? value.type.shape : undefined);
  return shape?.every((dim): dim is number => typeof dim === 'number') ? shape : undefined;
}
