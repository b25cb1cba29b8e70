/** What is in a model: its graph files, and the operators of one of them. */
import { requestJson } from './client.js';

export interface GraphFile {
  readonly name: string;
  readonly variant: string;
  readonly bytes: number;
  readonly steps: readonly string[];
  readonly gate?: string;
  readonly records: number;
  /** There is a report of its comparison. */
  readonly report: boolean;
  /** It is the one that answers requests. */
  readonly serving: boolean;
}

export interface GraphWeight {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly method?: string;
  /** null when nothing was lost. */
  readonly snrDb?: number | null;
  readonly maxError?: number;
}

export interface GraphOperator {
  readonly name: string;
  readonly operator: string;
  readonly path: readonly string[];
  readonly dtype?: string;
  readonly shape?: readonly (number | string | null)[];
  readonly weights: readonly GraphWeight[];
}

export interface DescribedGraph {
  readonly name: string;
  readonly operators: readonly GraphOperator[];
  readonly totals: { readonly operators: number; readonly weights: number; readonly bytes: number };
  readonly records: number;
  readonly cut: boolean;
}

const root = (model: string): string => `penjing/models/${encodeURIComponent(model)}`;

export async function listGraphs(model: string, signal?: AbortSignal): Promise<readonly GraphFile[]> {
  return (await requestJson<{ readonly graphs: readonly GraphFile[] }>(`${root(model)}/graphs`, { signal })).graphs;
}

export function readGraph(model: string, graph: string | undefined, signal?: AbortSignal): Promise<DescribedGraph> {
  return requestJson(`${root(model)}/graph${graph === undefined ? '' : `?graph=${encodeURIComponent(graph)}`}`, { signal });
}
