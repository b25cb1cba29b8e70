/** Sources that a thread cannot open by itself: their ranges are copied into shared memory, a group at a time. */
import { byteSize, elementCount, exprInputs, type MultiExpr, type SourceExpr, type TensorExpr } from '@penjing/core';
import type { WorkerGroup, WorkerSource } from './pool-protocol.js';
import type { PlannedGroup } from './save-plan.js';

export interface LeafRange {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/** The ranges that the leaves of a group cover, each once. */
export function leafRanges({ outputs }: Pick<PlannedGroup, 'outputs'>): LeafRange[] {
  const ranges = new Map<string, LeafRange>();
  const seen = new Set<TensorExpr | MultiExpr>();
  const visit = (expr: TensorExpr | MultiExpr): void => {
    if (seen.has(expr)) return;
    seen.add(expr);
    if (expr.op === 'source') ranges.set(rangeKey(expr), { key: expr.source, offset: expr.offset, length: leafBytes(expr) });
    else exprInputs(expr).forEach(visit);
  };
  for (const { expr } of outputs) visit(expr);
  return [...ranges.values()];
}

/** A group as a worker gets it; `paths` are the output files by index. */
export async function workerGroup(group: PlannedGroup, paths: readonly string[]): Promise<WorkerGroup> {
  const sources = new Map<string, WorkerSource>();
  const moved = new Set<string>();
  for (const range of leafRanges(group)) {
    const source = group.sources.get(range.key)!;
    if (source.descriptor.kind === 'file') {
      sources.set(range.key, source.descriptor);
      continue;
    }
    const bytes = new SharedArrayBuffer(range.length);
    const target = new Uint8Array(bytes);
    for (let done = 0; done < range.length; done += STEP) {
      const length = Math.min(STEP, range.length - done);
      target.set(await source.read(range.offset + done, length), done);
    }
    const key = rangeKey({ source: range.key, offset: range.offset, length: range.length });
    sources.set(key, { kind: 'shared', bytes });
    moved.add(range.key);
  }
  const rebase = moved.size > 0 ? rebaser(moved) : undefined;
  return {
    outputs: group.outputs.map(({ expr, file, offset }) => ({ expr: rebase ? rebase(expr) : expr, path: paths[file]!, offset })),
    sources,
  };
}

/** A request over HTTP should not be larger; memory does not mind. */
const STEP = 16 * 2 ** 20;

function leafBytes(expr: SourceExpr): number {
  return byteSize(expr.dtype, elementCount(expr.shape));
}

function rangeKey(range: SourceExpr | { readonly source: string; readonly offset: number; readonly length: number }): string {
  return `${range.source}@${range.offset}+${'length' in range ? range.length : leafBytes(range)}`;
}

/** Points the leaves over `moved` sources to their copies, keeping shared parts of the expressions shared. */
function rebaser(moved: ReadonlySet<string>): (expr: TensorExpr) => TensorExpr {
  const done = new Map<object, object>();
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== 'object' || value === null) return value;
    const known = done.get(value);
    if (known) return known;
    const expr = value as SourceExpr;
    const copy =
      expr.op === 'source' && moved.has(expr.source)
        ? { ...expr, source: rangeKey(expr), offset: 0 }
        : Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner)]));
    done.set(value, copy);
    return copy;
  };
  return (expr) => walk(expr) as TensorExpr;
}
