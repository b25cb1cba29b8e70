/** A layout as tasks of the simulator: calls of sessions, transfers between devices, collectives. */
import type { CostBook } from '../cost/cost-book.js';
import { interpolate, type Seconds } from '../cost/roofline.js';
import type { Layout, Part } from '../plan/plan.js';
import { shareRows } from '../split/batch.js';
import { bestCollective, type Collective } from './collective.js';
import type { SimTask } from './simulate.js';
import { tensorProgram } from './tensor-segments.js';
import type { Topology } from './topology.js';

/** What a task of the simulation is in the plan. */
export interface TaskLabel {
  readonly kind: 'compute' | 'transfer' | 'collective';
  /** A device, or the two ends of a transfer. */
  readonly where: string;
  readonly request: number;
  /** Number of the micro-batch, of the replica's share when there is no pipeline. */
  readonly microBatch: number;
  /** Number of the stage or part. */
  readonly stage: number;
}

/** Where a value lies once a task is done; `share` of its rows. */
interface Source {
  readonly task: number;
  readonly device: string;
  readonly rows: number;
}

/** Where values lie, by name. */
type Places = ReadonlyMap<string, readonly Source[]>;

interface Scope {
  readonly part: Part;
  readonly rows: number;
  readonly places: Places;
  /** What is called is a step of a pipeline or a branch. */
  readonly chained: boolean;
  /** Of the chain that an engine ties together itself, past the calling thread: which one. */
  readonly tied?: number | undefined;
  readonly label: Omit<TaskLabel, 'kind' | 'where'>;
}

export interface LayoutTasks {
  readonly tasks: SimTask[];
  readonly labels: TaskLabel[];
}

export interface LayoutTasksOptions {
  readonly layout: Layout;
  readonly book: CostBook;
  readonly place: Topology;
  /** How many requests follow each other, and how many may be under way at a time. */
  readonly requests: number;
  readonly window: number;
}

/** Tasks of some requests one after the other, and for each request the task that ends it. */
export function layoutTasks({ layout, book, place, requests, window }: LayoutTasksOptions): LayoutTasks & { readonly ends: readonly number[] } {
  const out: LayoutTasks = { tasks: [], labels: [] };
  const emitter = new Emitter(book, place, out, window > 1);
  // Who asks is a thread of the host of the first device; it gathers the outputs too.
  const caller = devicesOf(layout)[0]!;
  const ends: number[] = [];
  for (let request = 0; request < requests; request++) {
    const label = { request, microBatch: 0, stage: 0 };
    const begin = emitter.add({ uses: [], compute: 0, after: request < window ? [] : [ends[request - window]!] }, { kind: 'transfer', where: caller, ...label });
    const given: Places = new Map(book.whole.inputs.map((name) => [name, [{ task: begin, device: caller, rows: book.batch }]]));
    const made = emitter.emit(layout, { part: book.whole, rows: book.batch, places: given, chained: false, label });
    const answers = new Set(book.whole.outputs.flatMap((name) => made.get(name) ?? given.get(name) ?? []));
    const arrived = [...answers].map((source) => emitter.transfer(source, caller, book.bytes(book.whole.outputs, source.rows) / Math.max(1, answers.size), label, { back: true }));
    const joined = answers.size > 1 ? [emitter.join(caller, arrived, label)] : arrived;
    ends.push(emitter.add({ uses: [], compute: 0, after: joined }, { kind: 'transfer', where: caller, ...label }));
  }
  return { ...out, ends };
}

/** Devices in the order of the tree, each once. */
export function devicesOf(layout: Layout): string[] {
  const inner = ((): readonly string[] => {
    switch (layout.kind) {
      case 'device': return [layout.device];
      case 'tensor': return layout.devices;
      case 'data': return layout.replicas.flatMap(devicesOf);
      case 'pipeline': return layout.stages.flatMap((stage) => devicesOf(stage.layout));
      case 'tasks': return layout.parts.flatMap((part) => devicesOf(part.layout));
    }
  })();
  return [...new Set(inner)];
}

/** Rows of the pieces of a batch, as `openLayout` cuts it; one piece when it cannot be cut. */
export function pieceRows(book: CostBook, rows: number, count: number): number[] {
  return book.batchSymbol === undefined ? [rows] : shareRows(rows, count, book.smallestPiece).map(({ start, end }) => end - start);
}

class Emitter {
  readonly #book: CostBook;
  readonly #place: Topology;
  readonly #out: LayoutTasks;
  readonly #many: boolean;
  /** Calls by the run of a chain that they are tied into. */
  readonly #tied = new Map<number, number>();
  /** Runs of chains that have gone in, and that have come out. */
  readonly #ways = { in: new Set<number>(), out: new Set<number>() };
  /** By layout of shards the task after which they take the next request. */
  readonly #turns = new Map<Layout, number>();
  #chains = 0;

  constructor(book: CostBook, place: Topology, out: LayoutTasks, many: boolean) {
    this.#many = many;
    this.#book = book;
    this.#place = place;
    this.#out = out;
  }

  add(task: SimTask, label: TaskLabel): number {
    this.#out.labels.push(label);
    return this.#out.tasks.push(task) - 1;
  }

  emit(layout: Layout, scope: Scope): Places {
    switch (layout.kind) {
      case 'device': return this.#call(layout.device, layout.threads, scope);
      case 'data': return this.#replicas(layout, scope);
      case 'pipeline': return this.#pipeline(layout, scope);
      case 'tensor': return this.#shards(layout, scope);
      case 'tasks': return this.#chain(layout.parts, scope);
    }
  }

  /** Brings what `source` has to a device, or `back` to who asked; the task to wait for. */
  transfer(source: Source, to: string, bytes: number, label: Scope['label'], { back = false, chained = false, tied, behind = [] }: { readonly back?: boolean; readonly behind?: readonly number[] } & Partial<Pick<Scope, 'chained' | 'tied'>>): number {
    const place = this.#place;
    const after = [source.task, ...behind];
    const given = this.#out.labels[source.task]!.kind === 'compute';
    if (source.device === to && !back && this.#out.labels[source.task]!.kind !== 'transfer') return source.task;
    const { latency: once, bandwidth } = place.hop(source.device, to);
    const where = `${source.device} → ${to}`;
    const inside = place.hostOf(source.device) === place.hostOf(to);
    const from = this.#tied.get(source.task);
    // Stages of a chain have a way to each other, past the thread that called them.
    const past = inside && !back && tied !== undefined && from === tied;
    // Between two other sessions of a host messages pass through the thread that called both.
    const handedOn = inside && given && !back && !past;
    const latency = handedOn ? 2 * once : once;
    const way = place.way(source.device, to);
    const calling = inside && !past ? place.caller(to) : undefined;
    if (calling) {
      // What a session gave is given away to the next; what the request holds is copied.
      const { resource, speed } = calling;
      const copied = given ? bytes / bandwidth : bytes / interpolate(speed.copy, bytes);
      const step = speed.stepSeconds ?? speed.callSeconds;
      const chain = back ? from : tied;
      const own = chain !== undefined ? (this.#isFirst(chain, back) ? (speed.chainSeconds ?? 2 * step) / 2 : 0) : ((chained ? step : speed.callSeconds) / 2) * (handedOn ? 2 : 1);
      return this.add({ uses: [resource], compute: own + copied, delay: Math.max(0, latency - own), after }, { kind: 'transfer', where, ...label });
    }
    const seconds = bytes / bandwidth;
    const task: SimTask = way === undefined ? { uses: [], compute: seconds + latency, after } : { uses: [way], compute: seconds, delay: latency, after };
    return this.add(task, { kind: 'transfer', where, ...label });
  }

  /** Of a chain, however long it is, half of the time goes in with all inputs of a run, whichever stages read them, and half comes out with all outputs. */
  #isFirst(chain: number, back: boolean): boolean {
    const known = back ? this.#ways.out : this.#ways.in;
    return !known.has(chain) && known.add(chain).has(chain);
  }

  /** Outputs of several pieces become whole ones. */
  join(device: string, after: readonly number[], label: Scope['label']): number {
    const calling = this.#place.caller(device);
    const bytes = this.#book.bytes(this.#book.whole.outputs, this.#book.batch);
    const task = calling ? { uses: [calling.resource], compute: bytes / interpolate(calling.speed.copy, bytes) } : { uses: [], compute: 0 };
    return this.add({ ...task, after }, { kind: 'transfer', where: device, ...label });
  }

  /** Tasks after which the inputs of a part lie on a device: one transfer for each place they come from, none of them before the tasks `behind`. */
  #gather({ part, rows, places, chained, tied, label }: Scope, device: string, behind: readonly number[] = []): number[] {
    const from = new Map<number, { source: Source; bytes: number }>();
    for (const name of part.inputs) {
      for (const source of places.get(name) ?? []) {
        const entry = from.get(source.task) ?? { source, bytes: 0 };
        entry.bytes += this.#book.bytes([name], Math.min(rows, source.rows));
        from.set(source.task, entry);
      }
    }
    return [...from.values()].map(({ source, bytes }) => this.transfer(source, device, bytes, label, { chained, behind, ...(tied !== undefined && { tied }) }));
  }

  #call(device: string, threads: number | undefined, scope: Scope): Places {
    const speed = this.#place.speed(device, threads);
    const taken = timesOf(this.#book.correct(this.#book.seconds(scope.part, scope.rows, speed), scope.rows, speed, this.#many));
    const uses = this.#place.occupies(device, threads);
    const task = this.add({ uses, ...taken, after: this.#gather(scope, device) }, { kind: 'compute', where: device, ...scope.label });
    if (scope.tied !== undefined) this.#tied.set(task, scope.tied);
    return placed(scope.part.outputs, [{ task, device, rows: scope.rows }]);
  }

  #replicas({ reduction, replicas }: Layout & { kind: 'data' }, scope: Scope): Places {
    if (reduction !== 'concat') return joined(replicas.map((replica) => this.emit(replica, scope)));
    // Where requests wait, or a batch cannot be cut, whole ones go round.
    const shares = pieceRows(this.#book, scope.rows, this.#many ? 1 : replicas.length);
    if (shares.length === 1) return this.emit(replicas[scope.label.request % replicas.length]!, scope);
    return joined(shares.map((rows, i) => this.emit(replicas[i]!, { ...scope, rows, label: { ...scope.label, microBatch: scope.label.microBatch * shares.length + i } })));
  }

  #pipeline({ stages, microBatches }: Layout & { kind: 'pipeline' }, scope: Scope): Places {
    const shares = pieceRows(this.#book, scope.rows, microBatches);
    const tied = this.#tiesTogether(stages);
    return joined(shares.map((rows, i) => this.#chain(stages, { ...scope, rows, tied: tied ? this.#chains++ : undefined, label: { ...scope.label, microBatch: scope.label.microBatch * shares.length + i } })));
  }

  #chain(parts: readonly (Part & { layout: Layout })[], scope: Scope): Places {
    const places = new Map(scope.places);
    parts.forEach((part, stage) => {
      const made = this.emit(part.layout, { ...scope, part, places, chained: true, label: { ...scope.label, stage: scope.label.stage + stage } });
      for (const [name, sources] of made) places.set(name, sources);
    });
    return new Map(scope.part.outputs.map((name) => [name, places.get(name) ?? []]));
  }

  /** As `openLayout` has it: stages of one session each, all of one machine. */
  #tiesTogether(stages: readonly { readonly layout: Layout }[]): boolean {
    const hosts = stages.map(({ layout }) => (layout.kind === 'device' ? this.#place.hostOf(layout.device) : undefined));
    return stages.length > 1 && hosts.every((host) => host !== undefined && host === hosts[0]);
  }

  /**
   * Between two collectives each device computes its share; nobody goes on before all have what they need. One request at a time: the next one is sent when the calling thread has heard of the end of the
   * last (`openTensor`), so that none is at hand when shards begin, whether others wait or not.
   */
  #shards(layout: Layout & { kind: 'tensor' }, scope: Scope): Places {
    const { devices } = layout;
    const place = this.#place;
    const first = devices[0]!;
    const uses = devices.map((device) => place.occupies(device, undefined)[0]!);
    const turn = this.#turns.get(layout);
    const behind = turn === undefined ? [] : [turn];
    let before = devices.map((device) => [...this.#gather(scope, device, behind), ...behind]);
    let last = -1;
    for (const { secondsOn, reducedBytes, gatheredBytes } of tensorProgram(this.#book, scope.part, layout).segments(scope.rows)) {
      const computed = devices.map((device, i) => {
        return this.add({ uses: [uses[i]!], ...timesOf(this.#book.correct(secondsOn(place.speed(device)), scope.rows, place.speed(device), false)), after: before[i]! }, { kind: 'compute', where: device, ...scope.label });
      });
      last = computed[0]!;
      before = computed.map((task) => [task]);
      if (reducedBytes + gatheredBytes === 0) continue;
      const hops = devices.map((device, i) => place.hop(device, devices[(i + 1) % devices.length]!));
      const worst = { latency: Math.max(...hops.map(({ latency }) => latency)), bandwidth: Math.min(...hops.map(({ bandwidth }) => bandwidth)) };
      const inside = new Set(devices.map((device) => place.hostOf(device))).size === 1;
      const secondsOf = (collective: Collective, bytes: number): number => (bytes === 0 ? 0 : ((inside ? place.sumSeconds(first, bytes) : undefined) ?? bestCollective(collective, devices.length, bytes, worst).seconds));
      const seconds = secondsOf('all-reduce', reducedBytes) + secondsOf('all-gather', gatheredBytes);
      last = this.add({ uses, compute: seconds, after: computed }, { kind: 'collective', where: first, ...scope.label });
      before = devices.map(() => [last]);
    }
    if (this.#many) this.#turns.set(layout, this.add({ uses: [], compute: place.hop(first, first).latency, after: [last] }, { kind: 'transfer', where: first, ...scope.label }));
    return placed(scope.part.outputs, [{ task: last, device: first, rows: scope.rows }]);
  }
}

const timesOf = ({ alone, crowded }: Seconds): Pick<SimTask, 'compute' | 'extra'> => ({ compute: alone, extra: crowded - alone });

function placed(names: readonly string[], sources: readonly Source[]): Places {
  return new Map(names.map((name) => [name, sources]));
}

function joined(all: readonly Places[]): Places {
  const result = new Map<string, Source[]>();
  for (const places of all) for (const [name, sources] of places) result.set(name, [...(result.get(name) ?? []), ...sources]);
  return result;
}
