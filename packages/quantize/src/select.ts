/** Finds the weights that block quantization can take, each with every node that reads it. */
import { allGraphs, type Graph, lazy, type Model, type Node, type Tensor, type Value } from '@penjing/core';

/** One node that multiplies by, or looks up rows of, a weight matrix. */
export interface WeightSite {
  readonly kind: 'matmul' | 'gemm' | 'gather';
  readonly node: Node;
}

export interface WeightMatrix {
  readonly weight: Value;
  /** The graph whose initializer it is. */
  readonly owner: Graph;
  /** The main graph, or the body of the function, that the owner is or stands in. */
  readonly root: Graph;
  /** Opset imports that hold there. */
  readonly opsets: Map<string, number>;
  /** (rows, cols): one row per output, summed over cols; for a lookup one row per index. */
  readonly matrix: Tensor;
  readonly sites: readonly WeightSite[];
}

export interface SkippedWeight {
  readonly weight: Value;
  readonly reason: string;
}

interface Candidate extends WeightSite {
  readonly weight: Value;
  /** The stored matrix is (cols, rows) and has to be turned. */
  readonly turned: boolean;
  /** Why this node cannot be rewritten, though it reads a weight. */
  readonly refusal?: string;
}

/** Weights of MatMul, Gemm and (when `embeddings`) Gather, with the same orientation at every site. */
export function weightMatrices(
  model: Model,
  embeddings: boolean,
): { matrices: WeightMatrix[]; skipped: SkippedWeight[] } {
  const matrices: WeightMatrix[] = [];
  const skipped: SkippedWeight[] = [];
  // A function sees nothing of the model around it, so its weights and their readers stay together.
  for (const [root, opsets] of [[model.graph, model.opsetImports] as const, ...model.functions.map((fn) => [fn.body, fn.opsetImports] as const)]) {
    const graphs = [...allGraphs(root)];
    const owners = new Map(graphs.flatMap((graph) => [...graph.initializers.values()].map((value) => [value, graph] as const)));
    for (const [weight, sites] of sitesOf(graphs, owners, opsets.get('') ?? 1, embeddings)) {
      const owner = owners.get(weight)!;
      const reason = refusal(weight, owner, sites);
      if (reason !== undefined) {
        skipped.push({ weight, reason });
        continue;
      }
      const matrix = sites[0]!.turned ? lazy.transpose(weight.tensor!, [1, 0]) : weight.tensor!;
      matrices.push({ weight, owner, root, opsets, matrix, sites: sites.map(({ kind, node }) => ({ kind, node })) });
    }
  }
  return { matrices, skipped };
}

/** The nodes that read each floating-point weight. */
function sitesOf(graphs: readonly Graph[], owners: ReadonlyMap<Value, Graph>, opset: number, embeddings: boolean): Map<Value, Candidate[]> {
  const sites = new Map<Value, Candidate[]>();
  for (const node of graphs.flatMap((graph) => [...graph.nodes()])) {
    const found = candidate(node, opset);
    if (!found || (found.kind === 'gather' && !embeddings) || !owners.has(found.weight)) continue;
    if (!FLOATS.has(found.weight.tensor?.dtype ?? '')) continue;
    const list = sites.get(found.weight);
    if (list) list.push(found);
    else sites.set(found.weight, [found]);
  }
  return sites;
}

/** Integers are looked up too (shapes, positions); they are no weights. */
const FLOATS: ReadonlySet<string> = new Set(['float64', 'float32', 'float16', 'bfloat16']);

function refusal(weight: Value, owner: Graph, sites: readonly Candidate[]): string | undefined {
  const { tensor } = weight;
  if (!tensor || (tensor.kind !== 'dense' && tensor.kind !== 'lazy')) return 'it is stored as a sparse tensor';
  if (tensor.shape.length !== 2) return `it has ${tensor.shape.length} dimensions; the quantized kernels take matrices`;
  if (tensor.dtype !== 'float32' && tensor.dtype !== 'float16') return `${tensor.dtype} has no quantized CPU kernel`;
  if (owner.inputs.includes(weight)) return 'callers may override it: it is an input of the graph';
  if (sites.some((site) => site.turned !== sites[0]!.turned)) return 'it is used both as it is and transposed';
  return sites.find((site) => site.refusal !== undefined)?.refusal;
}

type Finder = (node: Node, opset: number) => Candidate | undefined;

/** The finders, by operator of ai.onnx. */
const finders: Readonly<Record<string, Finder>> = {
  MatMul(node) {
    const value = node.input(1);
    const turn = value?.producer;
    const weight = turn?.opType === 'Transpose' && turn.domain === '' && isSwap(turn) ? turn.input(0) : value;
    if (!weight?.tensor) return undefined;
    return {
      kind: 'matmul', node, weight, turned: weight === value,
      ...(rankOf(node.input(0)) === 1 && { refusal: 'it multiplies a vector; MatMulNBits takes matrices' }),
    };
  },
  Gemm(node, opset) {
    const weight = node.input(1);
    if (!weight?.tensor) return undefined;
    const plain = node.int('transA', 0) === 0 && node.float('alpha', 1) === 1 && (!node.input(2) || node.float('beta', 1) === 1);
    return {
      kind: 'gemm', node, weight, turned: node.int('transB', 0) === 0,
      ...(!plain && { refusal: 'its Gemm has transA, alpha or beta' }),
      // Addition broadcasts both ways from opset 7 on.
      ...(opset < 7 && { refusal: 'its Gemm is older than opset 7' }),
    };
  },
  Gather(node) {
    const weight = node.input(0);
    if (!weight?.tensor || node.int('axis', 0) !== 0) return undefined;
    return { kind: 'gather', node, weight, turned: false };
  },
};

function candidate(node: Node, opset: number): Candidate | undefined {
  if (node.domain !== '' || !Object.hasOwn(finders, node.opType) || hasReference(node)) return undefined;
  return finders[node.opType]!(node, opset);
}

/** Inside a function an attribute may be the caller's: its value is not known here. */
function hasReference(node: Node): boolean {
  return [...node.attributes.values()].some(({ kind }) => kind === 'ref');
}

function isSwap(transpose: Node): boolean {
  if (hasReference(transpose)) return false;
  const perm = transpose.ints('perm');
  return perm === undefined || (perm.length === 2 && perm[0] === 1 && perm[1] === 0);
}

function rankOf(value: Value | undefined): number | undefined {
  return value?.type?.kind === 'tensor' ? value.type.shape?.length : undefined;
}
