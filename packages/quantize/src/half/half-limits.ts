/** What does not fit into float16: found by running a float32 model, and then one that rounds as float16 would. */
import { type Feeds, inferShapes, type JobHost, type Model, type Node, type TaskOptions, toDense, type Value } from '@penjing/core';
import type { HistogramStatistic } from '@penjing/core/calibrate';
import { gatherValues } from '../gather-values.js';
import { chooseNodes } from './choose-nodes.js';
import type { HalfForm } from './half-form.js';
import { simulateHalf } from './simulate-half.js';
import { finiteMagnitude, weightLimitsJob } from './weight-limits-job.js';

/** The largest finite float16, and the smallest with all of its ten bits. */
const LARGEST = 65504;
const SMALLEST = 2 ** -14;

export interface MeasureOptions extends TaskOptions {
  readonly jobs: JobHost;
  /** Read several times. */
  readonly samples: AsyncIterable<Feeds>;
  /** How many times larger than on the samples values may become. */
  readonly headroom: number;
}

export type Reasons = ReadonlyMap<Node, string>;
type Half = ReadonlyMap<Node, HalfForm>;

/** Nodes whose constants do not fit. Without a host for jobs only small constants are read. */
export async function constantLimits(half: Half, jobs: JobHost | undefined, { signal }: TaskOptions): Promise<Map<Node, string>> {
  const readers = new Map<Value, Node[]>();
  for (const [node, { inputs }] of half) {
    for (const i of inputs) {
      const value = node.input(i)!;
      if (!value.tensor || value.producer) continue;
      const list = readers.get(value);
      if (list) list.push(node);
      else readers.set(value, [node]);
    }
  }
  const values = [...readers.keys()];
  const limits = jobs ? await readByJob(values, jobs, signal) : await readSmall(values);
  const found = new Map<Node, string>();
  values.forEach((value, i) => {
    const reason = misfit(limits[i]!, 1);
    if (reason !== undefined) for (const node of readers.get(value)!) found.set(node, `its constant ${value.name} ${reason}`);
  });
  return found;
}

async function readByJob(values: readonly Value[], jobs: JobHost, signal: AbortSignal | undefined): Promise<readonly number[]> {
  const weights = [];
  for (const { tensor } of values) weights.push(await jobs.refer(tensor!));
  return jobs.run(weightLimitsJob, { weights }, { ...(signal && { signal }) });
}

/** Elements that may be looked at in the calling thread. */
const SMALL = 4096;

async function readSmall(values: readonly Value[]): Promise<number[]> {
  const limits: number[] = [];
  for (const { tensor } of values) {
    if (tensor!.byteLength > 4 * SMALL) limits.push(0);
    else limits.push(finiteMagnitude((await toDense(tensor!)).data as Float32Array));
  }
  return limits;
}

/** Why a value of this magnitude is no float16: undefined when it is, or is nothing but zeros. */
function misfit(magnitude: number, headroom: number): string | undefined {
  if (magnitude * headroom > LARGEST) return `reaches ${magnitude.toPrecision(3)}`;
  return magnitude > 0 && magnitude < SMALLEST ? `is ${magnitude.toPrecision(3)} at most, too small for float16` : undefined;
}

interface Seen {
  readonly magnitude: number;
  /** Elements over all samples. */
  readonly count: number;
  /** In float32: infinities of masks, for one. */
  readonly broken: boolean;
}

/** What lies inside a kernel and is larger than what goes in or comes out, from these and how many elements become one. */
const hidden: Readonly<Record<string, (input: number, output: number, ratio: number) => number>> = {
  ReduceMean: (_, output, ratio) => output * ratio,
  GlobalAveragePool: (_, output, ratio) => output * ratio,
  ReduceL2: (_, output) => output ** 2,
  InstanceNormalization: (input) => input ** 2,
  GroupNormalization: (input) => input ** 2,
  MeanVarianceNormalization: (input) => input ** 2,
  LpNormalization: (input) => input ** 2,
};

/** Rounds of simulation: each keeps the nodes from which what is not finite comes first. */
const ROUNDS = 4;

export interface MeasuredLimits {
  readonly found: Map<Node, string>;
  /** Values that still are not finite where float32 is. */
  readonly unsolved: readonly string[];
}

/** Nodes that must not compute in float16, beside those of `keep`. */
export async function measureLimits(model: Model, keep: Reasons, { jobs, samples, headroom, ...task }: MeasureOptions): Promise<MeasuredLimits> {
  const found = new Map<Node, string>();
  const chosen = (): Half => chooseNodes(model, { keep: new Map([...keep, ...found]) }).half;
  const first = chosen();
  const wanted = new Set<Value>([...first].flatMap(([node, { inputs, outputs }]) => [...inputs.map((i) => node.input(i)!), ...outputs.map((i) => node.output(i))]).filter(({ tensor, producer }) => !tensor || producer));
  const seen = new Map<Value, Seen>();
  for await (const values of gatherValues(model, wanted, 'histogram', { ...task, jobs, samples })) {
    for (const { value, statistic, broken } of values) seen.set(value, { ...magnitudeOf(statistic), broken: broken !== undefined });
  }
  for (const [value, { magnitude }] of seen) {
    const reason = misfit(magnitude, headroom);
    if (reason !== undefined) for (const node of around(value)) if (!found.has(node)) found.set(node, `${value.name} ${reason}`);
  }
  for (const [node, { inputs, outputs }] of first) {
    const [from, to] = [seen.get(node.input(inputs[0] ?? 0)!), seen.get(node.output(outputs[0] ?? 0))];
    if (!from || !to || found.has(node) || node.domain !== '' || !Object.hasOwn(hidden, node.opType)) continue;
    const inside = hidden[node.opType]!(from.magnitude, to.magnitude, from.count / Math.max(1, to.count));
    if (inside * headroom > LARGEST) found.set(node, `what it adds up may reach ${inside.toPrecision(3)}`);
  }

  let unsolved: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const half = chosen();
    const broken = await brokenInHalf(model, half, { ...task, jobs, samples });
    unsolved = [...half.keys()].flatMap((node) => node.outputs.filter((value) => broken.has(value.name) && !seen.get(value)?.broken).map(({ name }) => name));
    if (unsolved.length === 0) break;
    for (const node of half.keys()) {
      const breaks = node.outputs.find((value) => broken.has(value.name) && !seen.get(value)?.broken);
      const causes = node.inputs.filter((value) => value !== null);
      if (!breaks || causes.some((value) => broken.has(value.name))) continue;
      const reason = `${breaks.name} is not finite in float16`;
      // A divisor that became 0 stays 0 unless it is computed in float32 as well.
      for (const each of [node, ...causes.flatMap(({ producer }) => producer ?? [])]) if (!found.has(each)) found.set(each, reason);
    }
  }
  return { found, unsolved };
}

function magnitudeOf({ min, max, counts, nonFinite }: HistogramStatistic): Pick<Seen, 'magnitude' | 'count'> {
  const magnitude = max < min ? 0 : Math.max(Math.abs(min), Math.abs(max));
  return { magnitude, count: counts.reduce((sum, count) => sum + count, nonFinite) };
}

/** The node that computes a value and those that read it. */
function around(value: Value): Node[] {
  return [...(value.producer ? [value.producer] : []), ...value.uses().map(({ node }) => node)];
}

/** Names of values of `half` nodes that hold NaN or infinities when everything is rounded as they would. */
async function brokenInHalf(model: Model, half: Half, options: Omit<MeasureOptions, 'headroom'>): Promise<Set<string>> {
  const simulated = simulateHalf(model, half);
  inferShapes(simulated);
  const names = new Set([...half].flatMap(([node, { outputs }]) => outputs.map((i) => node.output(i).name)));
  const wanted = new Set([...simulated.graph.nodes()].flatMap((node) => node.outputs.filter(({ name }) => names.has(name))));
  const broken = new Set<string>();
  for await (const values of gatherValues(simulated, wanted, 'range', options)) for (const each of values) if (each.broken !== undefined) broken.add(each.value.name);
  return broken;
}
