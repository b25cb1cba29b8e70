/** Finds the weights that are matrices of a product, a convolution or a lookup, each with every node that uses it so. */
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { allGraphs } from '../graph/traverse.js';
import type { Value } from '../graph/value.js';
import { lazy } from '../lazy-ops.js';
import { elementCount } from '../shape.js';
import type { Tensor } from '../tensor.js';

export type WeightKind = 'matmul' | 'gemm' | 'conv' | 'gather';

/** One node that multiplies by, convolves with, or looks up rows of, a weight matrix. Its activation is `node.input(0)` (for a lookup: its indices `node.input(1)`). */
export interface WeightSite {
  readonly kind: WeightKind;
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
  /** (rows, cols): one row per output, summed over cols; for a lookup one row per index; for a convolution cols are (channels of a group, kernel…). */
  readonly matrix: Tensor;
  /** The weight is stored as (cols, rows). */
  readonly turned: boolean;
  /** A tensor of the form of `matrix` as the weight is stored: turned, or with the dimensions of a kernel. */
  readonly stored: (matrix: Tensor) => Tensor;
  readonly sites: readonly WeightSite[];
  /** Nodes that read the weight in another way: who replaces its tensor changes what they compute too. */
  readonly otherReaders: readonly Node[];
}

export interface SkippedWeight {
  readonly weight: Value;
  readonly reason: string;
}

interface Candidate extends WeightSite {
  readonly weight: Value;
  /** The stored matrix is (cols, rows) and has to be turned. */
  readonly turned: boolean;
  /** The node that reads the weight itself: this one, or a Transpose before it. */
  readonly reader: Node;
}

/**
 * Floating-point weights of these kinds of nodes, in subgraphs and functions too, with the same orientation at every site. What
 * reads a weight in such a way and yet is no matrix (more dimensions, sparse storage, an input that callers may override) is named.
 */
export function weightMatrices(model: Model, kinds: readonly WeightKind[]): { matrices: WeightMatrix[]; skipped: SkippedWeight[] } {
  const matrices: WeightMatrix[] = [];
  const skipped: SkippedWeight[] = [];
  // A function sees nothing of the model around it, so its weights and their readers stay together.
  for (const [root, opsets] of [[model.graph, model.opsetImports] as const, ...model.functions.map((fn) => [fn.body, fn.opsetImports] as const)]) {
    const graphs = [...allGraphs(root)];
    const owners = new Map(graphs.flatMap((graph) => [...graph.initializers.values()].map((value) => [value, graph] as const)));
    for (const [weight, sites] of sitesOf(graphs, owners, kinds)) {
      const owner = owners.get(weight)!;
      const reason = refusal(weight, owner, sites);
      if (reason !== undefined) {
        skipped.push({ weight, reason });
        continue;
      }
      const readers = new Set(sites.map(({ reader }) => reader));
      matrices.push({
        weight, owner, root, opsets,
        ...formOf(weight.tensor!, sites[0]!),
        sites: sites.map(({ kind, node }) => ({ kind, node })),
        otherReaders: [...new Set(weight.uses().map(({ node }) => node))].filter((node) => !readers.has(node)),
      });
    }
  }
  return { matrices, skipped };
}

function formOf(tensor: Tensor, { kind, turned }: Candidate): Pick<WeightMatrix, 'matrix' | 'turned' | 'stored'> {
  const { shape } = tensor;
  if (turned) return { turned, matrix: lazy.transpose(tensor, [1, 0]), stored: (matrix) => lazy.transpose(matrix, [1, 0]) };
  if (kind === 'conv') return { turned, matrix: lazy.reshape(tensor, [shape[0]!, elementCount(shape.slice(1))]), stored: (matrix) => lazy.reshape(matrix, shape) };
  return { turned, matrix: tensor, stored: (matrix) => matrix };
}

/** The nodes that read each floating-point weight. */
function sitesOf(graphs: readonly Graph[], owners: ReadonlyMap<Value, Graph>, kinds: readonly WeightKind[]): Map<Value, Candidate[]> {
  const sites = new Map<Value, Candidate[]>();
  for (const node of graphs.flatMap((graph) => [...graph.nodes()])) {
    const found = candidate(node);
    if (!found || !kinds.includes(found.kind) || !owners.has(found.weight)) continue;
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
  const kernel = sites.filter(({ kind }) => kind === 'conv').length;
  if (kernel !== 0 && kernel !== sites.length) return 'it is both a kernel and a matrix';
  if (kernel === 0 && tensor.shape.length !== 2) return `it has ${tensor.shape.length} dimensions: no matrix`;
  if (kernel !== 0 && tensor.shape.length < 3) return `it has ${tensor.shape.length} dimensions: no kernel`;
  if (owner.inputs.includes(weight)) return 'callers may override it: it is an input of the graph';
  if (sites.some((site) => site.turned !== sites[0]!.turned)) return 'it is used both as it is and transposed';
  return undefined;
}

type Finder = (node: Node) => Candidate | undefined;

/** The finders, by operator of ai.onnx. */
const finders: Readonly<Record<string, Finder>> = {
  MatMul(node) {
    const value = node.input(1);
    const turn = value?.producer;
    const isTurn = turn?.opType === 'Transpose' && turn.domain === '' && isSwap(turn);
    const weight = isTurn ? turn.input(0) : value;
    return weight?.tensor && { kind: 'matmul', node, weight, turned: weight === value, reader: isTurn ? turn : node };
  },
  Gemm(node) {
    const weight = node.input(1);
    return weight?.tensor && { kind: 'gemm', node, weight, turned: node.int('transB', 0) === 0, reader: node };
  },
  Conv(node) {
    const weight = node.input(1);
    return weight?.tensor && { kind: 'conv', node, weight, turned: false, reader: node };
  },
  Gather(node) {
    const weight = node.input(0);
    if (!weight?.tensor || node.int('axis', 0) !== 0) return undefined;
    return { kind: 'gather', node, weight, turned: false, reader: node };
  },
};

function candidate(node: Node): Candidate | undefined {
  if (node.domain !== '' || !Object.hasOwn(finders, node.opType) || hasReference(node)) return undefined;
  return finders[node.opType]!(node);
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
