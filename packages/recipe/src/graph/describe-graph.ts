/** A graph as a list of its operators with their weights and what steps did to them: for people who look, bounded in size. */
import { type Block, blocks, type DType, inferShapes, type Model, type Node, type Value, type WeightRecord } from '@penjing/core';

export interface GraphWeight {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** The method of the step that changed it, and what it lost: absent when it was left as it was. */
  readonly method?: string;
  /** 10·log₁₀(‖w‖² / ‖w − w*‖²); null when nothing was lost, since JSON has no infinity. */
  readonly snrDb?: number | null;
  readonly maxError?: number;
}

export interface GraphOperator {
  readonly name: string;
  readonly operator: string;
  /** Names of the parts of the model around it, outermost first. */
  readonly path: readonly string[];
  /** Of the first output, where it is known; sizes that are not fixed are a name or null. */
  readonly dtype?: string;
  readonly shape?: readonly (number | string | null)[];
  /** A weight that several operators read stands with the first. */
  readonly weights: readonly GraphWeight[];
}

export interface GraphDescription {
  readonly operators: readonly GraphOperator[];
  /** Of the whole graph, also when the list is cut. */
  readonly totals: { readonly operators: number; readonly weights: number; readonly bytes: number };
  readonly records: number;
  readonly cut: boolean;
}

export interface DescribeLimits {
  readonly operators: number;
  /** Of one operator. */
  readonly weights: number;
  readonly name: number;
}

/** A transformer of 80 layers has some 5,000 operators; 20,000 are about 4 MB of JSON. No operator has more than a few weights but stacks of recurrent cells and trees. */
export const describeLimits: DescribeLimits = { operators: 20_000, weights: 64, name: 240 };

/** Operators of the main graph in order. Nothing is loaded; types are inferred where the graph has none. */
export function describeGraph(model: Model, records: readonly WeightRecord[], limits: DescribeLimits = describeLimits): GraphDescription {
  const { graph } = model;
  const all = [...graph.nodes()];
  const shown = all.slice(0, limits.operators);
  // Inference walks every node: on a graph that is cut anyway it would cost more than it tells.
  if (all.length <= limits.operators) inferShapes(model);
  const pathOf = paths(model, all, limits);
  const recordOf = matchRecords(records);
  const seen = new Set<Value>();
  const operators = shown.map((node, i): GraphOperator => {
    const weights: GraphWeight[] = [];
    for (const value of node.inputs) {
      if (!value?.tensor || seen.has(value) || weights.length >= limits.weights) continue;
      seen.add(value);
      weights.push({ ...weightOf(value, limits), ...recordOf(value.name) });
    }
    const type = node.outputs[0]?.type;
    return {
      name: shorten(node.name || node.outputs.find(({ name }) => name !== '')?.name || `${node.opType} ${i}`, limits.name),
      operator: shorten(node.domain ? `${node.domain}.${node.opType}` : node.opType, limits.name),
      path: pathOf(node),
      ...(type?.kind === 'tensor' && type.dtype !== undefined && { dtype: type.dtype }),
      ...(type?.kind === 'tensor' && type.shape && { shape: type.shape.slice(0, 32).map((dim) => (typeof dim === 'string' ? shorten(dim, 64) : typeof dim === 'number' ? dim : null)) }),
      weights,
    };
  });
  let [weights, bytes] = [0, 0];
  for (const { tensor } of graph.initializers.values()) {
    if (!tensor) continue;
    weights++;
    bytes += tensor.byteLength;
  }
  return { operators, totals: { operators: all.length, weights, bytes }, records: records.length, cut: shown.length < all.length };
}

function weightOf({ name, tensor }: Value, limits: DescribeLimits): GraphWeight {
  const { dtype, shape, byteLength } = tensor!;
  return { name: shorten(name, limits.name), dtype, shape: shape.slice(0, 32), bytes: byteLength };
}

/** Exporters put a node's place into its name; graphs without such names are cut into blocks. */
function paths(model: Model, nodes: readonly Node[], limits: DescribeLimits): (node: Node) => readonly string[] {
  const named = nodes.filter(({ name }) => /[^/]\/./.test(name)).length;
  if (named * 2 >= nodes.length) {
    return ({ name }) => name.split('/', 33).filter((part) => part !== '').slice(0, -1).map((part) => shorten(part, limits.name));
  }
  const cuts: readonly Block[] = nodes.length <= limits.operators ? blocks(model) : [];
  if (cuts.length < 2) return () => [];
  const blockOf = new Map(cuts.flatMap((block, i) => block.nodes.map((node) => [node, [`block ${i}`]] as const)));
  return (node) => blockOf.get(node) ?? [];
}

type RecordFields = Pick<GraphWeight, 'method' | 'snrDb' | 'maxError'>;

/** A weight `w` is stored as `w`, or in parts such as `w.q4` and `w.q4.scales`: the record stands with the first of them. */
function matchRecords(records: readonly WeightRecord[]): (name: string) => RecordFields {
  const byName = new Map(records.flatMap((record) => [[record.name, record] as const, ...(record.measuredBy === undefined ? [] : [[record.measuredBy, record] as const])]));
  const told = new Set<WeightRecord>();
  return (name) => {
    const record = nameAndStems(name).map((stem) => byName.get(stem)).find((found) => found !== undefined);
    if (!record || told.has(record)) return {};
    told.add(record);
    const { method, snrDb, maxError } = record;
    return { method, ...(snrDb !== undefined && { snrDb: Number.isFinite(snrDb) ? snrDb : null }), ...(maxError !== undefined && { maxError }) };
  };
}

/** `a.weight.q4.scales`, `a.weight.q4`, `a.weight`, …: at most three cuts, so that a record of a short name does not match everything. */
function nameAndStems(name: string): string[] {
  const stems = [name];
  for (let end = name.length; stems.length < 4; ) {
    end = Math.max(name.lastIndexOf('.', end - 1), name.lastIndexOf('_', end - 1));
    if (end <= 0) break;
    stems.push(name.slice(0, end));
  }
  return stems;
}

const shorten = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);
