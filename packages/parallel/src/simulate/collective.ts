/** What collectives cost: α per message and β per byte, as Thakur, Rabenseifner and Gropp count them (2005). */

export type Collective = 'all-reduce' | 'all-gather';
export type CollectiveAlgorithm = 'ring' | 'tree';

export interface Hop {
  readonly latency: number;
  readonly bandwidth: number;
}

/** A message of a collective: in a step, from one member to another. Steps follow each other. */
export interface Message {
  readonly step: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/** Every message of a collective over `members`, each with `bytes` (all-reduce) or a share of them (all-gather). */
export function messagesOf(collective: Collective, algorithm: CollectiveAlgorithm, members: number, bytes: number): Message[] {
  if (members < 2) return [];
  if (algorithm === 'ring') {
    const rounds = collective === 'all-reduce' ? 2 * (members - 1) : members - 1;
    return Array.from({ length: rounds * members }, (_, i) => ({ step: Math.floor(i / members), from: i % members, to: ((i % members) + 1) % members, bytes: bytes / members }));
  }
  const levels = Math.ceil(Math.log2(members));
  const up = Array.from({ length: levels }, (_, level) => pairs(members, level).map(([parent, child]) => ({ step: level, from: child, to: parent, bytes: partOf(collective, bytes, members, level) })));
  const down = Array.from({ length: levels }, (_, i) => pairs(members, levels - 1 - i).map(([parent, child]) => ({ step: levels + i, from: parent, to: child, bytes })));
  return [...up, ...down].flat();
}

/** A gathering tree carries what was gathered below, a reducing one always the sum. */
function partOf(collective: Collective, bytes: number, members: number, level: number): number {
  return collective === 'all-reduce' ? bytes : (bytes * 2 ** level) / members;
}

function pairs(members: number, level: number): [parent: number, child: number][] {
  const stride = 2 ** level;
  const found: [number, number][] = [];
  for (let parent = 0; parent + stride < members; parent += 2 * stride) found.push([parent, parent + stride]);
  return found;
}

/** Seconds over links that are all alike: the messages of a step go at the same time. */
export function collectiveSeconds(collective: Collective, algorithm: CollectiveAlgorithm, members: number, bytes: number, { latency, bandwidth }: Hop): number {
  if (members < 2) return 0;
  if (algorithm === 'ring') return (collective === 'all-reduce' ? 2 : 1) * (members - 1) * (latency + bytes / members / bandwidth);
  const levels = Math.ceil(Math.log2(members));
  const up = Array.from({ length: levels }, (_, level) => latency + partOf(collective, bytes, members, level) / bandwidth).reduce((a, b) => a + b, 0);
  return up + levels * (latency + bytes / bandwidth);
}

/** Of the two the faster one: trees for small messages, rings for large ones. */
export function bestCollective(collective: Collective, members: number, bytes: number, hop: Hop): { readonly algorithm: CollectiveAlgorithm; readonly seconds: number } {
  const [ring, tree] = (['ring', 'tree'] as const).map((algorithm) => ({ algorithm, seconds: collectiveSeconds(collective, algorithm, members, bytes, hop) }));
  return ring!.seconds <= tree!.seconds ? ring! : tree!;
}
