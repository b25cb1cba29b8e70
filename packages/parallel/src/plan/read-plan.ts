/** Plans and lists of devices from files: nothing is taken for true before it was looked at. */
import { PenjingError } from '@penjing/core';
import type { CallerSpeed, Device, EngineSpeed, Ladder, Link, MeasuredSpeed } from './device.js';
import { checkKeys, fieldsOf, type Fields, list, number, optional, text, texts, wrong } from './json-fields.js';
import { expertShardings, type Forecast, type Goal, type Layout, type Measured, type PlacedPart, type Plan, type PlannedModel, type Reduction } from './plan.js';

/** A plan for 1,024 devices with measured speeds takes some 5 MB. */
export const MAX_PLAN_BYTES = 16 * 2 ** 20;
/** A fleet that is planned as one. */
const MAX_DEVICES = 4096;
/** Every pair of hosts of a large cluster; larger ones name `*`. */
const MAX_LINKS = 65_536;
/** A pipeline of replicas of tensor groups is three deep. */
const MAX_DEPTH = 8;
/** Leaves and branches of a layout together. */
const MAX_NODES = 16_384;
/** Values at the borders of one part: caches of every layer come and go. */
const MAX_BORDER = 4096;
const MAX_MICRO_BATCHES = 4096;
const MAX_NAME = 1024;
const MAX_REASONS = 256;
const MAX_LADDER = 64;

export interface DeviceList {
  readonly devices: readonly Device[];
  readonly links: readonly Link[];
}

const goals = ['latency', 'throughput', 'memory'] as const satisfies readonly Goal[];
const reductions = ['mean', 'sum', 'concat'] as const satisfies readonly Reduction[];

/** Throws `E_PLAN` naming the place that is wrong; `from` names the file in messages. */
export function readPlan(json: string, from = 'the plan'): Plan {
  const root = parseJson(json, from);
  checkKeys(root, ['version', 'goal', 'model', 'devices', 'links', 'layout', 'forecast', 'reasons', 'considered', 'penjing'], from);
  if (root['version'] !== 1) throw wrong(`${from}: version`, '1', root['version']);
  const { devices, links } = readDevicesOf(root, from);
  const plan: Plan = {
    version: 1,
    goal: oneOf(root['goal'], goals, `${from}: goal`),
    model: readModel(root['model'], `${from}: model`),
    devices,
    links,
    layout: new LayoutReader(new Set(devices.map(({ name }) => name))).read(root['layout'], `${from}: layout`, 0),
    forecast: readForecast(root['forecast'], `${from}: forecast`),
    reasons: texts(root['reasons'], `${from}: reasons`, MAX_REASONS, 4096),
    considered: list(root['considered'] ?? [], `${from}: considered`, MAX_REASONS).map((item, i) => {
      const place = `${from}: considered[${i}]`;
      const fields = fieldsOf(item, place);
      checkKeys(fields, ['name', 'forecast', 'measured', 'refused'], place);
      return {
        name: text(fields['name'], `${place}.name`, MAX_NAME),
        ...optional(fields, 'forecast', (value) => readForecast(value, `${place}.forecast`)),
        ...optional(fields, 'measured', (value) => readMeasuredLayout(value, `${place}.measured`)),
        ...optional(fields, 'refused', (value) => text(value, `${place}.refused`, 4096)),
      };
    }),
  };
  checkChain(plan.layout, from);
  return plan;
}

/** A file of `penjing doctor --links`, also of the first version. Throws `E_PLAN` naming the place that is wrong. */
export function readDevices(json: string, from = 'the list of devices'): DeviceList {
  const root = parseJson(json, from);
  checkKeys(root, ['version', 'devices', 'links'], from);
  if (root['version'] !== 1 && root['version'] !== 2) throw wrong(`${from}: version`, '1 or 2', root['version']);
  return readDevicesOf(root, from);
}

function parseJson(json: string, from: string): Fields {
  if (json.length > MAX_PLAN_BYTES) throw new PenjingError('E_LIMIT', `${from} is longer than ${MAX_PLAN_BYTES} characters`);
  try {
    return fieldsOf(JSON.parse(json), from);
  } catch (cause) {
    // V8 throws RangeError for lists nested too deeply.
    if (cause instanceof SyntaxError || cause instanceof RangeError) throw new PenjingError('E_PLAN', `${from} is not JSON`, { cause });
    throw cause;
  }
}

function readDevicesOf(root: Fields, from: string): DeviceList {
  const devices = list(root['devices'], `${from}: devices`, MAX_DEVICES).map((item, i) => readDevice(item, `${from}: devices[${i}]`));
  if (devices.length === 0) throw new PenjingError('E_PLAN', `${from} lists no devices`);
  const seen = new Set<string>();
  for (const { name } of devices) {
    if (seen.has(name)) throw new PenjingError('E_PLAN', `${from} lists the device ${name} twice`);
    seen.add(name);
  }
  const known = new Set(['*', ...devices.flatMap(({ name, host }) => (host === undefined ? [name] : [name, host]))]);
  const links = list(root['links'] ?? [], `${from}: links`, MAX_LINKS).map((item, i) => readLink(item, `${from}: links[${i}]`, known));
  return { devices, links };
}

function readDevice(item: unknown, place: string): Device {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['name', 'host', 'memoryBytes', 'flops', 'memoryBandwidth', 'cores', 'measured'], place);
  return {
    name: text(fields['name'], `${place}.name`, MAX_NAME),
    ...optional(fields, 'host', (value) => text(value, `${place}.host`, MAX_NAME)),
    memoryBytes: number(fields['memoryBytes'], `${place}.memoryBytes`, 0, 2 ** 53),
    flops: number(fields['flops'], `${place}.flops`, 1, 1e21),
    memoryBandwidth: number(fields['memoryBandwidth'], `${place}.memoryBandwidth`, 1, 1e18),
    ...optional(fields, 'cores', (value) => whole(value, `${place}.cores`, 1, 4096)),
    ...optional(fields, 'measured', (value) => readMeasured(value, `${place}.measured`)),
  };
}

function readMeasured(item: unknown, place: string): MeasuredSpeed {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['engines', 'sideBySide', 'together', 'caller', 'sums'], place);
  const engines = list(fields['engines'], `${place}.engines`, MAX_LADDER).map((engine, i) => readEngine(engine, `${place}.engines[${i}]`));
  const [single] = engines;
  if (!single) throw new PenjingError('E_PLAN', `${place}.engines is empty`);
  return {
    engines,
    together: fields['together'] === undefined ? readSideBySide(fields['sideBySide'], single, `${place}.sideBySide`) : readEngine(fields['together'], `${place}.together`),
    ...optional(fields, 'caller', (value) => readCaller(value, `${place}.caller`)),
    ...optional(fields, 'sums', (value) => readLadder(value, `${place}.sums`, 1e-9)),
  };
}

function readEngine(item: unknown, at: string): EngineSpeed {
  const each = fieldsOf(item, at);
  checkKeys(each, ['threads', 'flops', 'bandwidth', 'nodeSeconds', 'callSeconds', 'outputs'], at);
  const flops = Object.entries(fieldsOf(each['flops'], `${at}.flops`));
  if (flops.length > MAX_LADDER) throw new PenjingError('E_LIMIT', `${at}.flops has more than ${MAX_LADDER} kinds`);
  return {
    threads: whole(each['threads'], `${at}.threads`, 1, 4096),
    flops: Object.fromEntries(flops.map(([kind, ladder]) => [kind, readLadder(ladder, `${at}.flops.${kind}`)])),
    bandwidth: readLadder(each['bandwidth'], `${at}.bandwidth`),
    nodeSeconds: number(each['nodeSeconds'], `${at}.nodeSeconds`, 0, 1),
    callSeconds: number(each['callSeconds'], `${at}.callSeconds`, 0, 1),
    ...optional(each, 'outputs', (value) => readLadder(value, `${at}.outputs`)),
  };
}

function readCaller(item: unknown, place: string): CallerSpeed {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['callSeconds', 'stepSeconds', 'chainSeconds', 'copy'], place);
  const seconds = (name: 'stepSeconds' | 'chainSeconds') => optional(fields, name, (value) => number(value, `${place}.${name}`, 0, 1));
  return { callSeconds: number(fields['callSeconds'], `${place}.callSeconds`, 0, 1), ...seconds('stepSeconds'), ...seconds('chainSeconds'), copy: readLadder(fields['copy'], `${place}.copy`) };
}

/** The first version of these files told only by how much products and reading are slower. */
function readSideBySide(item: unknown, single: EngineSpeed, place: string): EngineSpeed {
  const side = fieldsOf(item, place);
  checkKeys(side, ['compute', 'memory'], place);
  const compute = number(side['compute'], `${place}.compute`, 0.001, 2);
  const memory = number(side['memory'], `${place}.memory`, 0.001, 2);
  const scaled = (ladder: Ladder, factor: number): Ladder => ladder.map(([size, rate]) => [size, rate * factor] as const);
  return { ...single, flops: Object.fromEntries(Object.entries(single.flops).map(([kind, ladder]) => [kind, scaled(ladder, compute)])), bandwidth: scaled(single.bandwidth, memory) };
}

function readLadder(item: unknown, place: string, least = 1e-3): Ladder {
  const steps = list(item, place, MAX_LADDER).map((step, i) => {
    const pair = list(step, `${place}[${i}]`, 2);
    return [number(pair[0], `${place}[${i}][0]`, 0, 1e18), number(pair[1], `${place}[${i}][1]`, least, 1e21)] as const;
  });
  if (steps.length === 0 || steps.some(([size], i) => i > 0 && size <= steps[i - 1]![0])) throw new PenjingError('E_PLAN', `${place}: sizes must ascend, and one there must be`);
  return steps;
}

function readLink(item: unknown, place: string, known: ReadonlySet<string>): Link {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['from', 'to', 'latency', 'bandwidth'], place);
  const end = (key: string): string => {
    const name = text(fields[key], `${place}.${key}`, MAX_NAME);
    if (!known.has(name)) throw new PenjingError('E_PLAN', `${place}.${key} names ${name}, which is no device and no host`);
    return name;
  };
  return { from: end('from'), to: end('to'), latency: number(fields['latency'], `${place}.latency`, 0, 3600), bandwidth: number(fields['bandwidth'], `${place}.bandwidth`, 1, 1e18) };
}

function readModel(item: unknown, place: string): PlannedModel {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['name', 'weightBytes', 'sizes'], place);
  const sizes = Object.entries(fieldsOf(fields['sizes'], `${place}.sizes`));
  if (sizes.length > 64) throw new PenjingError('E_LIMIT', `${place}.sizes names more than 64 symbols`);
  return {
    name: text(fields['name'], `${place}.name`, MAX_NAME),
    weightBytes: number(fields['weightBytes'], `${place}.weightBytes`, 0, 2 ** 53),
    sizes: Object.fromEntries(sizes.map(([name, size]) => [name, whole(size, `${place}.sizes.${name}`, 0, 2 ** 31)])),
  };
}

function readForecast(item: unknown, place: string): Forecast {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['latency', 'throughput', 'memory', 'bubble', 'efficiency'], place);
  const memory = Object.entries(fieldsOf(fields['memory'], `${place}.memory`));
  if (memory.length > MAX_DEVICES) throw new PenjingError('E_LIMIT', `${place}.memory names more than ${MAX_DEVICES} devices`);
  return {
    latency: number(fields['latency'], `${place}.latency`, 0, 1e9),
    throughput: number(fields['throughput'], `${place}.throughput`, 0, 1e12),
    memory: Object.fromEntries(memory.map(([name, bytes]) => [name, number(bytes, `${place}.memory.${name}`, 0, 2 ** 53)])),
    bubble: number(fields['bubble'], `${place}.bubble`, 0, 1),
    efficiency: number(fields['efficiency'], `${place}.efficiency`, 0, 1e6),
  };
}

function readMeasuredLayout(item: unknown, place: string): Measured {
  const fields = fieldsOf(item, place);
  checkKeys(fields, ['latency', 'throughput'], place);
  return {
    ...optional(fields, 'latency', (value) => number(value, `${place}.latency`, 0, 1e9)),
    ...optional(fields, 'throughput', (value) => number(value, `${place}.throughput`, 0, 1e12)),
  };
}

class LayoutReader {
  readonly #devices: ReadonlySet<string>;
  #nodes = 0;

  constructor(devices: ReadonlySet<string>) {
    this.#devices = devices;
  }

  read(item: unknown, place: string, depth: number): Layout {
    if (depth > MAX_DEPTH) throw new PenjingError('E_LIMIT', `${place} is more than ${MAX_DEPTH} layouts deep`);
    if (++this.#nodes > MAX_NODES) throw new PenjingError('E_LIMIT', `${place}: the layout has more than ${MAX_NODES} parts`);
    const fields = fieldsOf(item, place);
    const kind = text(fields['kind'], `${place}.kind`, MAX_NAME);
    const readers: Readonly<Record<Layout['kind'], () => Layout>> = {
      device: () => {
        checkKeys(fields, ['kind', 'device', 'threads'], place);
        return { kind: 'device', device: this.#device(fields['device'], `${place}.device`), ...optional(fields, 'threads', (value) => whole(value, `${place}.threads`, 1, 4096)) };
      },
      data: () => {
        checkKeys(fields, ['kind', 'reduction', 'replicas'], place);
        return { kind: 'data', reduction: oneOf(fields['reduction'], reductions, `${place}.reduction`), replicas: filled(fields['replicas'], `${place}.replicas`).map((inner, i) => this.read(inner, `${place}.replicas[${i}]`, depth + 1)) };
      },
      pipeline: () => {
        checkKeys(fields, ['kind', 'stages', 'microBatches'], place);
        return { kind: 'pipeline', microBatches: whole(fields['microBatches'], `${place}.microBatches`, 1, MAX_MICRO_BATCHES), stages: this.#parts(fields['stages'], `${place}.stages`, depth) };
      },
      tensor: () => {
        checkKeys(fields, ['kind', 'devices', 'experts'], place);
        const devices = filled(fields['devices'], `${place}.devices`).map((name, i) => this.#device(name, `${place}.devices[${i}]`));
        if (new Set(devices).size < devices.length) throw new PenjingError('E_PLAN', `${place}.devices names a device twice`);
        return { kind: 'tensor', devices, ...optional(fields, 'experts', (value) => oneOf(value, expertShardings, `${place}.experts`)) };
      },
      tasks: () => {
        checkKeys(fields, ['kind', 'parts'], place);
        return { kind: 'tasks', parts: this.#parts(fields['parts'], `${place}.parts`, depth) };
      },
    };
    if (!Object.hasOwn(readers, kind)) throw wrong(`${place}.kind`, `one of ${Object.keys(readers).join(', ')}`, kind);
    return readers[kind as Layout['kind']]();
  }

  #device(value: unknown, place: string): string {
    const name = text(value, place, MAX_NAME);
    if (!this.#devices.has(name)) throw new PenjingError('E_PLAN', `${place} names ${name}, which is not among the devices`);
    return name;
  }

  #parts(value: unknown, place: string, depth: number): PlacedPart[] {
    return filled(value, place).map((item, i) => {
      const at = `${place}[${i}]`;
      const fields = fieldsOf(item, at);
      checkKeys(fields, ['inputs', 'outputs', 'layout'], at);
      const names = (key: string): string[] => {
        const found = texts(fields[key], `${at}.${key}`, MAX_BORDER, MAX_NAME);
        if (new Set(found).size < found.length) throw new PenjingError('E_PLAN', `${at}.${key} names a value twice`);
        return found;
      };
      const outputs = names('outputs');
      if (outputs.length === 0) throw new PenjingError('E_PLAN', `${at} gives nothing`);
      return { inputs: names('inputs'), outputs, layout: this.read(fields['layout'], `${at}.layout`, depth + 1) };
    });
  }
}

/**
 * Parts stand in an order in which each finds its inputs, and no value is made twice: that rules out cycles. A value that a later part
 * gives cannot be an input before; one that no part gives comes from the model's inputs, which only the model can tell.
 */
function checkChain(layout: Layout, from: string): void {
  const parts = layout.kind === 'pipeline' ? layout.stages : layout.kind === 'tasks' ? layout.parts : [];
  const made = new Map<string, number>();
  parts.forEach(({ inputs, outputs }, i) => {
    for (const name of outputs) {
      // What a part hands through is no new value.
      if (made.has(name) && !inputs.includes(name)) throw new PenjingError('E_PLAN', `${from}: ${name} is given by part ${made.get(name)} and by part ${i}`);
      if (!made.has(name)) made.set(name, i);
    }
  });
  parts.forEach(({ inputs }, i) => {
    for (const name of inputs) if ((made.get(name) ?? -1) > i) throw new PenjingError('E_PLAN', `${from}: part ${i} needs ${name}, which part ${made.get(name)} gives later`);
  });
  for (const part of parts) checkChain(part.layout, from);
  if (layout.kind === 'data') for (const replica of layout.replicas) checkChain(replica, from);
}

function filled(value: unknown, place: string): unknown[] {
  const items = list(value, place, MAX_NODES);
  if (items.length === 0) throw new PenjingError('E_PLAN', `${place} is empty`);
  return items;
}

function whole(value: unknown, place: string, low: number, high: number): number {
  const found = number(value, place, low, high);
  if (!Number.isSafeInteger(found)) throw wrong(place, 'a whole number', value);
  return found;
}

function oneOf<T extends string>(value: unknown, names: readonly T[], place: string): T {
  const found = names.find((name) => name === value);
  if (found === undefined) throw wrong(place, `one of ${names.join(', ')}`, value);
  return found;
}
