/** A graph as steps that follow each other and branches that do not know of each other, inside each other. */
import { Groups, type Cluster } from './clusters.js';

export type BranchTree =
  | { readonly kind: 'leaf'; readonly cost: number; readonly members: readonly number[] }
  | { readonly kind: 'series'; readonly cost: number; readonly items: readonly BranchTree[] }
  | { readonly kind: 'parallel'; readonly cost: number; readonly branches: readonly BranchTree[] };

/** Forks inside of forks; what is deeper stays whole. Bounds the work to as many walks over the graph. */
const MOST_LEVELS = 12;

/** `light`: what costs less and begins or ends the graph counts as no branch, though everything may read or be read by it. */
export function branchTree(clusters: readonly Cluster[], light: number): BranchTree {
  return decompose(clusters, clusters.map((_, i) => i), light, MOST_LEVELS);
}

/** `members` in order. */
function decompose(clusters: readonly Cluster[], members: readonly number[], light: number, levels: number): BranchTree {
  if (members.length < 2 || levels === 0) return leaf(clusters, members);
  const { first, middle, last } = trim(clusters, members, light);
  const items: BranchTree[] = [leaf(clusters, first)];
  let between: number[] = [];
  const close = (): void => {
    const parts = components(clusters, between);
    if (parts.length > 1) {
      const branches = parts.map((part) => decompose(clusters, part, light, levels - 1));
      items.push({ kind: 'parallel', cost: costOf(branches), branches });
    } else if (between.length > 0) {
      // The whole again says that nothing was found.
      items.push(between.length === members.length ? leaf(clusters, between) : decompose(clusters, between, light, levels - 1));
    }
    between = [];
  };
  const everybody = narrowPlaces(clusters, middle);
  for (const member of middle) {
    if (everybody.has(member)) {
      close();
      items.push(leaf(clusters, [member]));
    } else between.push(member);
  }
  close();
  items.push(leaf(clusters, last));
  const filled = items.filter((item) => item.kind !== 'leaf' || item.members.length > 0);
  return filled.length === 1 ? filled[0]! : { kind: 'series', cost: costOf(filled), items: filled };
}

/** Light members that read light ones only, back to the beginning, and those whose readers are such up to the end. */
function trim(clusters: readonly Cluster[], members: readonly number[], light: number): { readonly first: number[]; readonly middle: number[]; readonly last: number[] } {
  const inside = new Set(members);
  const ends = (list: readonly number[], next: (cluster: Cluster) => readonly number[]): Set<number> => {
    const found = new Set<number>();
    for (const member of list) {
      const cluster = clusters[member]!;
      if (cluster.cost <= light && next(cluster).every((other) => found.has(other) || !inside.has(other))) found.add(member);
    }
    return found;
  };
  const first = ends(members, ({ before }) => before);
  const rest = members.filter((member) => !first.has(member));
  const last = ends([...rest].reverse(), ({ after }) => after);
  return { first: [...first], middle: rest.filter((member) => !last.has(member)), last: rest.filter((member) => last.has(member)) };
}

/** Members that all others lead to or come from: the only end of all before them, and the only beginning of all after. */
function narrowPlaces(clusters: readonly Cluster[], members: readonly number[]): ReadonlySet<number> {
  const only = (list: readonly number[], behind: (cluster: Cluster) => readonly number[]): Set<number> => {
    const inside = new Set(list);
    const reached = new Set<number>();
    const found = new Set<number>();
    let loose = 0;
    for (const member of list) {
      loose++;
      for (const other of behind(clusters[member]!)) {
        if (!inside.has(other) || reached.has(other)) continue;
        reached.add(other);
        loose--;
      }
      if (loose === 1) found.add(member);
    }
    return found;
  };
  const ends = only(members, ({ before }) => before);
  const begins = only([...members].reverse(), ({ after }) => after);
  return new Set(members.filter((member) => ends.has(member) && begins.has(member)));
}

/** Members that hang together, each list in order. */
function components(clusters: readonly Cluster[], members: readonly number[]): number[][] {
  const place = new Map(members.map((member, i) => [member, i]));
  const groups = new Groups(members.length);
  members.forEach((member, i) => {
    for (const other of clusters[member]!.before) if (place.has(other)) groups.join(place.get(other)!, i);
  });
  const found = new Map<number, number[]>();
  members.forEach((member, i) => {
    const own = found.get(groups.of(i));
    if (own) own.push(member);
    else found.set(groups.of(i), [member]);
  });
  return [...found.values()];
}

function leaf(clusters: readonly Cluster[], members: readonly number[]): BranchTree {
  return { kind: 'leaf', cost: members.reduce((sum, member) => sum + clusters[member]!.cost, 0), members };
}

const costOf = (trees: readonly BranchTree[]): number => trees.reduce((sum, { cost }) => sum + cost, 0);

/** Every cluster of a tree, in order. */
export function membersOf(tree: BranchTree): number[] {
  if (tree.kind === 'leaf') return [...tree.members];
  return (tree.kind === 'series' ? tree.items : tree.branches).flatMap(membersOf);
}
