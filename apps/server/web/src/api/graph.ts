/** What is in a model: its graph files, and the operators of one of them. */
import type { DescribedGraph, GraphFile as ListedGraph } from '@penjing/recipe/graphs';
import { requestJson } from './client.js';

export type { DescribedGraph } from '@penjing/recipe/graphs';
export type GraphOperator = DescribedGraph['operators'][number];

export interface GraphFile extends ListedGraph {
  /** There is a report of its comparison. */
  readonly report: boolean;
  /** It is the one that answers requests. */
  readonly serving: boolean;
}

const root = (model: string): string => `penjing/models/${encodeURIComponent(model)}`;

export async function listGraphs(model: string, signal?: AbortSignal): Promise<readonly GraphFile[]> {
  return (await requestJson<{ readonly graphs: readonly GraphFile[] }>(`${root(model)}/graphs`, { signal })).graphs;
}

export function readGraph(model: string, graph: string | undefined, signal?: AbortSignal): Promise<DescribedGraph> {
  return requestJson(`${root(model)}/graph${graph === undefined ? '' : `?graph=${encodeURIComponent(graph)}`}`, { signal });
}
