/** Seconds that a device takes for a list of nodes: of computing and of reading memory the slower one, and what calls cost. */
import type { Device, EngineSpeed, Ladder } from '../plan/device.js';
import type { NodeCost } from './model-cost.js';

/** A call of a session of ONNX Runtime from its own thread. */
export const CALL_SECONDS = 6e-6;
/** Of a node that computes next to nothing. */
export const NODE_SECONDS = 1e-6;

/** Time on a device that has its host to itself; memory is what other devices of the host slow down. */
export interface Seconds {
  readonly compute: number;
  readonly memory: number;
}

/** Of a device with `threads`, all its cores when absent. */
export function speedOf(device: Device, threads = device.cores ?? 1): EngineSpeed {
  const known = speeds.get(device) ?? new Map<number, EngineSpeed>();
  speeds.set(device, known);
  const found = known.get(threads) ?? findSpeed(device, threads);
  known.set(threads, found);
  return found;
}

/** What is remembered of a part is remembered by its speed, so the same one must come back. */
const speeds = new WeakMap<Device, Map<number, EngineSpeed>>();

function findSpeed(device: Device, threads: number): EngineSpeed {
  const engines = device.measured?.engines ?? [];
  const found = engines.findLast((engine) => engine.threads <= threads) ?? engines[0];
  if (found) return found.threads >= threads ? found : grown(found, threads / found.threads);
  const share = Math.max(1, threads / (device.cores ?? threads));
  return { threads, flops: { product: [[1, device.flops * share]] }, bandwidth: [[1, device.memoryBandwidth]], nodeSeconds: NODE_SECONDS, callSeconds: CALL_SECONDS };
}

/** More threads than were measured: products scale, memory does not. */
function grown(speed: EngineSpeed, factor: number): EngineSpeed {
  return { ...speed, flops: Object.fromEntries(Object.entries(speed.flops).map(([kind, ladder]) => [kind, ladder.map(([size, rate]) => [size, rate * factor] as const)])) };
}

/** Seconds for the nodes, one after the other, in one call. Weights that fit into a cache stay there from call to call. */
export function secondsOf(nodes: Iterable<NodeCost>, speed: EngineSpeed): Seconds {
  const costs = [...nodes];
  const resident = costs.reduce((sum, { weightBytes }) => sum + weightBytes, 0);
  const weightRate = interpolate(speed.bandwidth, resident);
  const slowest = speed.bandwidth[speed.bandwidth.length - 1]?.[1] ?? Infinity;
  let compute = speed.callSeconds;
  let memory = 0;
  for (const { kind, flops, rows, weightBytes, activationBytes } of costs) {
    if (flops === 0 && weightBytes === 0 && activationBytes === 0) continue;
    const ladder = speed.flops[kind] ?? speed.flops['product'] ?? [];
    const size = kind === 'elementwise' || kind === 'transcendental' ? flops : (rows ?? Infinity);
    const computing = flops / interpolate(ladder, size);
    const fromWeights = weightBytes / weightRate;
    const reading = fromWeights + activationBytes / interpolate(speed.bandwidth, activationBytes);
    // Caches belong to a core; only what comes from memory is shared with the other devices of the host.
    if (reading > computing && weightRate <= 1.5 * slowest && fromWeights > reading / 2) memory += reading;
    else compute += Math.max(computing, reading);
    compute += speed.nodeSeconds;
  }
  return { compute, memory };
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
