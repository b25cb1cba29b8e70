/**
 * Whether independent branches of a graph run faster as tasks on engines of one thread than in one engine with the threads of all, and whether the planner knows:
 * `PENJING_TESTDATA=… npx tsx --conditions=@penjing/source bench/branches.ts [--devices FILE] [--only NAME] [--goal latency|throughput] [--seconds 0.15] [--rounds 7] [--measure]`
 * All layouts have a turn in every round; medians count. Where the planner proposes no branches, those that the graph has run all the same, to see that it was right.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRng, DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { costBook, findBranches, forecastOf, type Goal, type Planned, type PlanOptions, planInDetail, topology } from '@penjing/parallel';
import { measureDevices, measureModel, openGraph, readDevicesFile, tryLayouts } from '@penjing/recipe';
import { machine } from '@penjing/runtime';

const { values } = parseArgs({ options: { devices: { type: 'string' }, only: { type: 'string' }, goal: { type: 'string' }, seconds: { type: 'string', default: '0.15' }, rounds: { type: 'string', default: '7' }, measure: { type: 'boolean', default: false } } });
const data = process.env['PENJING_TESTDATA'] ?? '../shared/data';

interface Case {
  readonly name: string;
  readonly model: () => Promise<Model>;
  readonly sizes?: Readonly<Record<string, number>>;
}

class Net {
  readonly model = new Model();
  readonly b = new GraphBuilder(this.model.graph);
  readonly #rng = createRng(3);
  #weights = 0;

  constructor() {
    this.model.irVersion = 9;
    this.model.opsetImports.set('', 17);
  }

  weight(scale: number, ...shape: number[]): Value {
    const offset = this.#rng.below(8191);
    return this.b.initializer(`w${this.#weights++}`, DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, (_, i) => Math.sin((i + offset) % 8191) * scale)));
  }

  /** Square products one after the other. */
  tower(x: Value, layers: number, width: number): Value {
    let h = x;
    for (let i = 0; i < layers; i++) h = this.b.op('Relu', [this.b.op('MatMul', [h, this.weight(1 / Math.sqrt(width), width, width)])]);
    return h;
  }

  conv(x: Value, from: number, to: number, size: number): Value {
    const pad = (size - 1) / 2;
    return this.b.op('Relu', [this.b.op('Conv', [x, this.weight(1 / Math.sqrt(from * size * size), to, from, size, size)], { pads: [pad, pad, pad, pad], kernel_shape: [size, size] })]);
  }
}

/** Chains of different lengths side by side on one input, added at the end. x: (batch, width). */
function towers(width: number, ...layers: number[]): Promise<Model> {
  const net = new Net();
  const x = net.b.input('x', tensorType('float32', ['batch', width]));
  net.b.output(layers.map((count) => net.tower(x, count, width)).reduce((sum, end) => net.b.op('Add', [sum, end])), 'y', tensorType('float32', ['batch', width]));
  return Promise.resolve(net.model);
}

/** A trunk, and heads that give an output each. */
function heads(width: number, trunk: number, count: number): Promise<Model> {
  const net = new Net();
  const h = net.tower(net.b.input('x', tensorType('float32', ['batch', width])), trunk, width);
  for (let i = 0; i < count; i++) net.b.output(net.tower(h, 1, width), `y${i}`, tensorType('float32', ['batch', width]));
  return Promise.resolve(net.model);
}

/** Blocks of four columns, as GoogLeNet has them: 1×1; 1×1 and 3×3; 1×1 and 5×5; pooling and 1×1. x: (1, channels, 28, 28). */
function inception(blocks: number, channels = 192): Promise<Model> {
  const net = new Net();
  const { b } = net;
  let h: Value = b.input('x', tensorType('float32', [1, channels, 28, 28]));
  for (let i = 0; i < blocks; i++) {
    const pooled = b.op('MaxPool', [h], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
    h = b.op('Concat', [net.conv(h, channels, 64, 1), net.conv(net.conv(h, channels, 96, 1), 96, 64, 3), net.conv(net.conv(h, channels, 16, 1), 16, 32, 5), net.conv(pooled, channels, 32, 1)], { axis: 1 });
  }
  b.output(h, 'y', tensorType('float32', [1, channels, 28, 28]));
  return Promise.resolve(net.model);
}

/** Files of IR version 3 list weights among the inputs, and ONNX Runtime then fuses less. */
function withoutDefaults(model: Model): Model {
  model.graph.inputs.splice(0, Infinity, ...model.graph.inputs.filter(({ tensor }) => !tensor));
  return model;
}

const cases: readonly Case[] = [
  { name: 'two towers of 4, 1 row', model: () => towers(1024, 4, 4), sizes: { batch: 1 } },
  { name: 'two towers of 4, 8 rows', model: () => towers(1024, 4, 4), sizes: { batch: 8 } },
  { name: 'two towers of 4, 64 rows', model: () => towers(1024, 4, 4), sizes: { batch: 64 } },
  { name: 'two small towers, 8 rows', model: () => towers(128, 4, 4), sizes: { batch: 8 } },
  { name: 'towers of 6 and 1, 8 rows', model: () => towers(1024, 6, 1), sizes: { batch: 8 } },
  { name: 'four towers of 3, 4 rows', model: () => towers(768, 3, 3, 3, 3), sizes: { batch: 4 } },
  { name: 'trunk of 4 with two heads, 8 rows', model: () => heads(1024, 4, 2), sizes: { batch: 8 } },
  { name: 'inception, 3 blocks', model: () => inception(3, 192) },
  { name: 'UltraFace', model: () => openGraph(join(data, 'models/ultraface/version-RFB-320.onnx')) },
  { name: 'UltraFace, weights no inputs', model: async () => withoutDefaults(await openGraph(join(data, 'models/ultraface/version-RFB-320.onnx'))) },
];

const list = values.devices === undefined ? await measureDevices() : await readDevicesFile(values.devices);
const devices = list.devices.slice(0, 2);
const place = topology(devices, list.links);
const shown = new Set(['one device', 'one engine on 2 cores', 'data: 2 replicas', 'tasks: branches on 2 devices']);
console.log(JSON.stringify(machine()));

for (const item of cases.filter(({ name }) => values.only === undefined || name.includes(values.only))) {
  const model = await item.model();
  const sizes = item.sizes ?? {};
  const times = values.measure ? await measureModel(model, { sizes, devices }) : undefined;
  for (const goal of (['latency', 'throughput'] as const).filter((each) => values.goal === undefined || each === values.goal)) {
    const plans = (more: Pick<PlanOptions, 'times'>) => planInDetail({ model, devices, links: list.links, goal, sizes, ...more });
    const unseen = await plans({});
    const timed = times && (await plans({ times }));
    const candidates = unseen.ranked.filter(({ name }) => shown.has(name));
    if (!candidates.some(({ name }) => name.startsWith('tasks'))) candidates.push(...forced(model, sizes));
    const trials = await tryLayouts(model, { candidates, goal, sizes: unseen.plan.model.sizes, devices, rounds: Number(values.rounds), seconds: Number(values.seconds) });
    const text = (value: number | undefined): string => (value === undefined ? '—' : goal === 'latency' ? `${(1000 * value).toPrecision(3)} ms` : `${value.toPrecision(3)} /s`);
    console.log(`${item.name}, ${goal}: unseen chooses ${unseen.ranked[0]!.name}${timed ? `, timed ${timed.ranked[0]!.name}` : ''}`);
    for (const { name, measured, failed } of [...trials].sort((x, y) => better(goal, x.measured?.[goal], y.measured?.[goal]))) {
      const forecast = (all: typeof unseen | undefined): string => text(all?.ranked.find((each) => each.name === name)?.forecast[goal]);
      console.log(`    ${name.padEnd(30)} ${failed ?? `measured ${text(measured?.[goal])}`.padEnd(22)} unseen ${forecast(unseen)}${timed ? `   timed ${forecast(timed)}` : ''}`);
    }
  }
}

function better(goal: Goal, a = NaN, b = NaN): number {
  return goal === 'latency' ? a - b : b - a;
}

/** Branches that the planner does not propose, shared out as if hops cost next to nothing. */
function forced(model: Model, sizes: Readonly<Record<string, number>>): Planned[] {
  const book = costBook(model, { sizes });
  const { nodes } = book.at(book.batch);
  const parts = findBranches(model, { devices: 2, hop: 1e-9, costOf: (node) => nodes.get(node)!.flops / 50e9 + (nodes.get(node)!.weightBytes + nodes.get(node)!.activationBytes) / 10e9 });
  if (new Set(parts.map(({ device }) => device)).size < 2) return [];
  const layout = { kind: 'tasks', parts: parts.map(({ device, ...part }) => ({ ...part, layout: { kind: 'device', device: devices[device]!.name } as const })) } as const;
  return [{ name: `not proposed: ${parts.length} parts`, layout, complexity: 3, ...forecastOf({ layout, book, place }) }];
}
