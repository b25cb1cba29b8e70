/** Seconds that a device takes for a list of nodes: of computing and of reading memory the slower one, and what calls cost. */
import type { Device, EngineSpeed, Ladder } from '../plan/device.js';
import type { NodeCost } from './model-cost.js';

/** A call of a session of ONNX Runtime from its own thread. */
export const CALL_SECONDS = 6e-6;
/** Of a node that computes next to nothing. */
export const NODE_SECONDS = 1e-6;

/** What a device is like that has its host to itself, and while all others of the host are as busy. */
export interface DeviceSpeed {
  readonly alone: EngineSpeed;
  readonly crowded: EngineSpeed;
}

export interface Seconds {
  readonly alone: number;
  readonly crowded: number;
}

/** Of a device with `threads`, all its cores when absent, on a host with so many devices. */
export function speedOf(device: Device, threads = device.cores ?? 1, mates = 1): DeviceSpeed {
  const known = speeds.get(device) ?? new Map<string, DeviceSpeed>();
  speeds.set(device, known);
  const key = `${threads} ${mates}`;
  const found = known.get(key) ?? findSpeeds(device, threads, mates);
  known.set(key, found);
  return found;
}

/** What is remembered of a part is remembered by its speed, so the same one must come back. */
const speeds = new WeakMap<Device, Map<string, DeviceSpeed>>();

/** Where nothing was measured, devices of a host share its memory, and nothing else. */
function findSpeeds(device: Device, threads: number, mates: number): DeviceSpeed {
  const alone = findSpeed(device, threads);
  const { together, engines: [single] = [] } = device.measured ?? {};
  if (!together || !single) return { alone, crowded: { ...alone, bandwidth: alone.bandwidth.map(([size, rate]) => [size, rate / mates] as const) } };
  return { alone, crowded: alone === single ? together : slowed(alone, single, together) };
}

/** As much slower as engines with one thread are. */
function slowed(speed: EngineSpeed, single: EngineSpeed, together: EngineSpeed): EngineSpeed {
  const ladder = (own: Ladder, before: Ladder | undefined, after: Ladder | undefined): Ladder => (before && after ? own.map(([size, rate]) => [size, (rate * interpolate(after, size)) / interpolate(before, size)] as const) : own);
  return {
    ...speed,
    flops: Object.fromEntries(Object.entries(speed.flops).map(([kind, own]) => [kind, ladder(own, single.flops[kind], together.flops[kind])])),
    bandwidth: ladder(speed.bandwidth, single.bandwidth, together.bandwidth),
    ...(speed.outputs && { outputs: ladder(speed.outputs, single.outputs, together.outputs) }),
  };
}

function findSpeed(device: Device, threads: number): EngineSpeed {
  const engines = device.measured?.engines ?? [];
  const found = engines.findLast((engine) => engine.threads <= threads) ?? engines[0];
  if (found) return found.threads >= threads ? found : grown(found, threads / found.threads);
  const share = Math.max(1, threads / (device.cores ?? threads));
  return { threads, flops: { product: [[1, device.flops * share]] }, bandwidth: [[1, device.memoryBandwidth]], nodeSeconds: NODE_SECONDS, callSeconds: CALL_SECONDS };
}

/** More threads than were measured: products scale, memory does not. */
function grown(speed: EngineSpeed, factor: number): EngineSpeed {
  return { ...speed, threads: Math.round(speed.threads * factor), flops: Object.fromEntries(Object.entries(speed.flops).map(([kind, ladder]) => [kind, ladder.map(([size, rate]) => [size, rate * factor] as const)])) };
}

/** Seconds for the nodes, one after the other, in one call that gives outputs of so many bytes each. */
export function secondsOf(nodes: Iterable<NodeCost>, { alone, crowded }: DeviceSpeed, outputBytes: readonly number[] = []): Seconds {
  const costs = [...nodes];
  const first = secondsAt(costs, alone, outputBytes);
  return { alone: first, crowded: alone === crowded ? first : Math.max(first, secondsAt(costs, crowded, outputBytes)) };
}

/** What stands for a kind that files of the first version do not list. */
const INSTEAD: Readonly<Record<string, string>> = { fusedAttention: 'attention' };

/** Weights that fit into a cache stay there from call to call. */
function secondsAt(costs: readonly NodeCost[], speed: EngineSpeed, outputBytes: readonly number[]): number {
  const resident = costs.reduce((sum, { weightBytes }) => sum + weightBytes, 0);
  const weightRate = interpolate(speed.bandwidth, resident);
  let seconds = speed.callSeconds;
  for (const { kind, flops, rows, weightBytes, activationBytes } of costs) {
    if (flops === 0 && weightBytes === 0 && activationBytes === 0) continue;
    const ladder = speed.flops[kind] ?? speed.flops[INSTEAD[kind] ?? 'product'] ?? speed.flops['product'] ?? [];
    const size = kind === 'elementwise' || kind === 'transcendental' ? flops : (rows ?? Infinity);
    const computing = flops / interpolate(ladder, size);
    const reading = weightBytes / weightRate + activationBytes / interpolate(speed.bandwidth, activationBytes);
    seconds += Math.max(computing, reading) + speed.nodeSeconds;
  }
  for (const bytes of outputBytes) seconds += bytes / interpolate(speed.outputs ?? [], bytes);
  return seconds;
}

/** Between two sizes along a straight line over the logarithm of the size, over the size itself from nothing on; beyond the ends as at the ends. */
export function interpolate(ladder: Ladder, size: number): number {
  if (ladder.length === 0) return Infinity;
  const above = ladder.findIndex(([at]) => at >= size);
  if (above <= 0) return ladder[above === 0 ? 0 : ladder.length - 1]![1];
  const [x0, y0] = ladder[above - 1]!;
  const [x1, y1] = ladder[above]!;
  return y0 + (y1 - y0) * (x0 <= 0 ? size / x1 : Math.log(size / x0) / Math.log(x1 / x0));
}
