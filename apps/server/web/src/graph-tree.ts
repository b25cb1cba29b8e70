/** The operators of a graph as a tree of the model's parts, what it weighs, and the rows of it that are open. */
import type { GraphOperator } from './api/graph.js';

export interface Part {
  /** From the root, joined by `/`: its identity. */
  readonly key: string;
  readonly name: string;
  readonly parts: Part[];
  readonly operators: GraphOperator[];
  /** Of everything within. */
  bytes: number;
  count: number;
  /** The weight within that lost most. */
  worst: number | undefined;
}

export type Row =
  | { readonly kind: 'part'; readonly key: string; readonly depth: number; readonly part: Part; readonly open: boolean }
  | { readonly kind: 'operator'; readonly key: string; readonly depth: number; readonly operator: GraphOperator };

export function buildTree(operators: readonly GraphOperator[]): Part {
  const root = emptyPart('', '');
  const known = new Map<string, Part>([['', root]]);
  for (const operator of operators) {
    const trail = [root];
    let key = '';
    for (const name of operator.path) {
      key = key === '' ? name : `${key}/${name}`;
      let part = known.get(key);
      if (!part) {
        part = emptyPart(key, name);
        known.set(key, part);
        trail.at(-1)!.parts.push(part);
      }
      trail.push(part);
    }
    trail.at(-1)!.operators.push(operator);
    const bytes = operator.weights.reduce((sum, weight) => sum + weight.bytes, 0);
    const worst = worstOf(operator);
    for (const part of trail) {
      part.bytes += bytes;
      part.count++;
      if (worst !== undefined) part.worst = Math.min(part.worst ?? Infinity, worst);
    }
  }
  return skipOnly(root);
}

/** dB of the weight that lost most; infinite when records say that none lost anything. */
export function worstOf({ weights }: GraphOperator): number | undefined {
  const levels = weights.flatMap(({ snrDb }) => (snrDb === undefined ? [] : [snrDb ?? Infinity]));
  return levels.length > 0 ? Math.min(...levels) : undefined;
}

/** The rows to show, in order. A search opens every part that has something in it. */
export function rowsOf(root: Part, open: ReadonlySet<string>, search: string): Row[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const rows: Row[] = [];
  const add = (part: Part, depth: number): void => {
    for (const inner of part.parts) {
      const before = rows.length;
      const isOpen = words.length > 0 || open.has(inner.key);
      rows.push({ kind: 'part', key: inner.key, depth, part: inner, open: isOpen });
      if (isOpen) add(inner, depth + 1);
      if (words.length > 0 && rows.length === before + 1) rows.pop();
    }
    part.operators.forEach((operator, i) => {
      if (matches(operator, words)) rows.push({ kind: 'operator', key: `${part.key}/#${i}`, depth, operator });
    });
  };
  add(root, 0);
  return rows;
}

export function partKeys(part: Part): string[] {
  return part.parts.flatMap((inner) => [inner.key, ...partKeys(inner)]);
}

/** Every word must be somewhere: in names, the operator, or the types. */
function matches({ name, operator, path, dtype, weights }: GraphOperator, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const text = [name, operator, ...path, dtype, ...weights.flatMap((weight) => [weight.name, weight.dtype, weight.method])].join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
}

/** A root with one part and nothing else says nothing: `model` around everything. */
function skipOnly(root: Part): Part {
  const [only] = root.parts;
  return only && root.parts.length === 1 && root.operators.length === 0 ? skipOnly(only) : root;
}

function emptyPart(key: string, name: string): Part {
  return { key, name, parts: [], operators: [], bytes: 0, count: 0, worst: undefined };
}
