/** Which branches run on which of some devices, and which are not worth it: what a fork saves against what its hops cost. */
import { type BranchTree, membersOf } from './branch-tree.js';

/** Clusters that run as one call on one device, after others. */
export interface BranchGroup {
  readonly members: readonly number[];
  /** From 0. */
  readonly device: number;
}

interface Fork {
  readonly gain: number;
  readonly groups: readonly { readonly branches: readonly BranchTree[]; readonly devices: number }[];
}

/** `hop`: seconds to hand values on to another call and to wait for it. An empty list when one call for everything is best. */
export function shareBranches(tree: BranchTree, devices: number, hop: number): BranchGroup[] {
  const sharing = new Sharing(hop);
  if (sharing.gain(tree, devices) <= 0) return [];
  const groups: BranchGroup[] = [];
  sharing.place(tree, 0, devices, groups);
  return groups;
}

class Sharing {
  readonly #hop: number;
  readonly #gains = new Map<BranchTree, Map<number, number>>();
  readonly #forks = new Map<BranchTree, Map<number, Fork | undefined>>();

  constructor(hop: number) {
    this.#hop = hop;
  }

  /** Seconds that several devices save over one. */
  gain(tree: BranchTree, devices: number): number {
    if (tree.kind === 'leaf' || devices < 2) return 0;
    return remembered(this.#gains, tree, devices, () => Math.max(this.#inTurn(tree, devices), tree.kind === 'parallel' ? (this.#fork(tree, devices)?.gain ?? 0) : 0));
  }

  /** Groups in an order in which each finds what it reads. */
  place(tree: BranchTree, device: number, devices: number, out: BranchGroup[]): void {
    let open: number[] = [];
    const close = (): void => {
      if (open.length > 0) out.push({ members: open, device });
      open = [];
    };
    const visit = (inner: BranchTree): void => {
      if (this.gain(inner, devices) <= 0 || inner.kind === 'leaf') return void open.push(...membersOf(inner));
      const fork = inner.kind === 'parallel' ? this.#fork(inner, devices) : undefined;
      if (!fork || fork.gain < this.#inTurn(inner, devices)) return (inner.kind === 'series' ? inner.items : inner.branches).forEach(visit);
      close();
      let first = device;
      for (const { branches, devices: taken } of fork.groups) {
        this.place({ kind: 'series', cost: 0, items: branches }, first, taken, out);
        first += taken;
      }
    };
    visit(tree);
    close();
  }

  #inTurn(tree: BranchTree, devices: number): number {
    const inner = tree.kind === 'series' ? tree.items : tree.kind === 'parallel' ? tree.branches : [];
    return inner.reduce((sum, each) => sum + this.gain(each, devices), 0);
  }

  /** Heaviest branches first, each to the group that has least; devices that are left over go to the groups that take longest. */
  #fork(tree: BranchTree & { kind: 'parallel' }, devices: number): Fork | undefined {
    return remembered(this.#forks, tree, devices, () => {
      const groups = Array.from({ length: Math.min(devices, tree.branches.length) }, () => ({ branches: [] as BranchTree[], devices: 1, cost: 0 }));
      for (const branch of [...tree.branches].sort((a, b) => b.cost - a.cost)) {
        const least = groups.reduce((best, group) => (group.cost < best.cost ? group : best));
        least.branches.push(branch);
        least.cost += branch.cost;
      }
      const span = (group: (typeof groups)[number]): number => group.cost - group.branches.reduce((sum, branch) => sum + this.gain(branch, group.devices), 0);
      for (let left = devices - groups.length; left > 0; left--) groups.reduce((worst, group) => (span(group) > span(worst) ? group : worst)).devices++;
      const gain = tree.cost - Math.max(...groups.map(span)) - 2 * this.#hop;
      return gain > 0 ? { gain, groups } : undefined;
    });
  }
}

function remembered<T>(all: Map<BranchTree, Map<number, T>>, tree: BranchTree, devices: number, compute: () => T): T {
  const own = all.get(tree) ?? new Map<number, T>();
  all.set(tree, own);
  if (!own.has(devices)) own.set(devices, compute());
  return own.get(devices)!;
}
