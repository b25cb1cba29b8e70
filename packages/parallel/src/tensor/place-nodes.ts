/** Gives every node of the graph its place: cut, on terms of a sum, on one shard, or whole on every shard, with collectives between where forms differ. */
import { type Names, type Node, PenjingError, type Shape, type Tensor, type Value } from '@penjing/core';
import { type ChosenCut, mustBeSummed } from './choose-cuts.js';
import { type AxisKey, type AxisNames, inputPath, isSlot, type WayUse } from './components.js';
import type { GraphFacts } from './graph-facts.js';
import { type Forms, type LocalCollective, localNode, type LocalStep, type LocalValue, type SegmentTarget } from './local-graph.js';
import type { Way } from './rule.js';
import type { AxisCut } from './sharded-model.js';
import { cutConstant, zerosLike } from './cut-tensor.js';

export interface PlacedGraph {
  readonly steps: readonly LocalStep[];
  readonly inputs: readonly PlacedPort[];
  readonly outputs: readonly PlacedPort[];
}

export interface PlacedPort {
  readonly of: Value;
  readonly value: LocalValue;
  readonly cut?: AxisCut;
}

/** Nodes that one shard runs alone; links of a chain of sums are those that the terms are added by. */
export interface Owners {
  readonly nodes: ReadonlyMap<Node, number>;
  /** The input that is the sum so far. */
  readonly links: ReadonlyMap<Node, { readonly shard: number; readonly sum: number }>;
}

interface Cutting {
  readonly cut: ChosenCut;
  readonly use: WayUse;
}

export class NodePlacer {
  readonly #facts: GraphFacts;
  readonly #names: Names;
  readonly #axes: AxisNames;
  readonly #owners: Owners;
  readonly #cutting = new Map<Node, Cutting>();
  readonly #forms = new Map<Value, Forms>();
  readonly #cutConstants = new Map<string, LocalValue>();
  readonly #steps: LocalStep[] = [];

  constructor(facts: GraphFacts, names: Names, axes: AxisNames, chosen: readonly ChosenCut[], owners: Owners) {
    this.#facts = facts;
    this.#names = names;
    this.#axes = axes;
    this.#owners = owners;
    for (const cut of chosen) for (const [node, use] of cut.nodes) this.#cutting.set(node, { cut, use });
  }

  place(): PlacedGraph {
    const { graph } = this.#facts.model;
    const inputs = graph.inputs.map((value) => this.#input(value));
    for (const node of this.#facts.nodes) {
      if (node.outputs.every((value) => this.#facts.constant.has(value))) continue;
      const cutting = this.#cutting.get(node);
      const link = this.#owners.links.get(node);
      if (cutting) this.#placeCut(node, cutting);
      else if (link) this.#placeLink(node, link);
      else if (this.#owners.nodes.has(node)) this.#placeWhole(node, this.#owners.nodes.get(node));
      else if (!this.#placeSum(node)) this.#placeWhole(node);
    }
    return { inputs, outputs: graph.outputs.map((value) => this.#output(value)), steps: this.#steps };
  }

  /** An input that all readers want cut in the same way is given to the shards in parts. */
  #input(value: Value): PlacedPort {
    const wanted = new Map<string, AxisCut>();
    for (const { node, index } of value.uses()) {
      const cutting = this.#facts.order.has(node) ? this.#cutting.get(node) : undefined;
      const place = cutting?.use.way.inputs[index];
      if (cutting && isSlot(place)) wanted.set(cutting.use.inputs[index]!, { axis: place.axis, ranges: cutting.cut.layout.ranges(cutting.use.inputs[index]!) });
      else wanted.set('', { axis: -1, ranges: [] });
    }
    const [[key, cut] = []] = [...wanted];
    const parts = wanted.size === 1 && key !== '' && !this.#facts.model.graph.outputs.includes(value) ? cut : undefined;
    const local = this.#local(value, parts ? '/cut' : '', 0);
    const forms = this.#formsOf(value);
    if (!parts) forms.full = local;
    else forms.cuts.set(key!, { value: local, cut: parts });
    return { of: value, value: local, ...(parts && { cut: parts }) };
  }

  #output(value: Value): PlacedPort {
    const { full, part, cuts } = this.#formsOf(value);
    const [only] = [...cuts.values()];
    if (!full && !part && only) return { of: value, value: only.value, cut: only.cut };
    const whole = this.#full(value);
    if (!whole.tensors && !whole.step?.floating && (whole.step ?? whole.collective)) return { of: value, value: whole };
    // an output that is an input or a constant is made by a node all the same
    const copy = this.#local(value, '/out', whole.level);
    this.#step({ level: whole.level, inputs: [whole], outputs: [copy], floating: false, build: (target) => [target.op('Identity', [target.value(whole)])] });
    return { of: value, value: copy };
  }

  #placeWhole(node: Node, only?: number): void {
    const inputs = node.inputs.map((value) => this.#optional(value));
    const captured = this.#facts.captured(node).map((value) => [value, this.#full(value)] as const);
    const all = [...inputs.filter((value) => value !== null), ...captured.map(([, value]) => value)];
    const level = levelOf(all);
    const floating = node.outputs.some(({ type }) => type?.kind === 'sequence' || type?.kind === 'optional' || type?.kind === 'map');
    const outputs = node.outputs.map((value) => {
      const local = this.#local(value, '', level);
      this.#formsOf(value).full = local;
      return local;
    });
    this.#step({
      level, inputs: all, outputs, floating, ...(only !== undefined && { only }),
      build: (target) => target.copy(node, inputs.map((value) => value && target.value(value)), {}, new Map(captured.map(([value, local]) => [value, target.value(local)]))),
    });
  }

  #placeCut(node: Node, { cut, use }: Cutting): void {
    const { way } = use;
    const inputs = node.inputs.map((value, i): LocalValue | null => {
      if (!value || value.name === '') return null;
      const place = way.inputs[i];
      if (isSlot(place)) return this.#facts.constant.has(value) ? this.#constantPart(value, inputPath(use.path, i), use.inputs[i]!, cut, place) : this.#part(value, use.inputs[i]!, { axis: place.axis, ranges: cut.layout.ranges(use.inputs[i]!) });
      return way.once?.includes(i) ? this.#onceOnly(value) : this.#full(value);
    });
    const level = levelOf(inputs);
    const outputs = node.outputs.map((value, i) => {
      const place = way.outputs[i] ?? null;
      const local = this.#local(value, place === null ? '' : place === 'partial' ? '/part' : '/cut', level);
      if (value.name === '') return local;
      const forms = this.#formsOf(value);
      if (place === null) forms.full = local;
      else if (place === 'partial') forms.part = local;
      else forms.cuts.set(use.outputs[i]!, { value: local, cut: { axis: place.axis, ranges: cut.layout.ranges(use.outputs[i]!) } });
      return local;
    });
    this.#step({ level, inputs: inputs.filter((value) => value !== null), outputs, floating: false, build: (target) => buildCut(target, node, way, cut, inputs) });
    for (const value of node.outputs) this.#settle(value);
  }

  /** One more term of a sum, on the shard that has it; the others pass the sum on. */
  #placeLink(node: Node, { shard, sum }: { readonly shard: number; readonly sum: number }): void {
    const before = this.#term(node.inputs[sum]!);
    const inputs = node.inputs.map((value, i) => (i === sum ? before : this.#optional(value)));
    const level = levelOf(inputs);
    const output = this.#local(node.output(), '/part', level);
    this.#formsOf(node.output()).part = output;
    this.#step({
      level, inputs: inputs.filter((value) => value !== null), outputs: [output], floating: false,
      build: (target) => (target.shard === shard ? target.copy(node, inputs.map((value) => value && target.value(value))) : [target.op('Identity', [target.value(before)])]),
    });
    this.#settle(node.output());
  }

  /** Goes on with terms where the operator allows it and an input is nothing else; false where it does not. */
  #placeSum(node: Node): boolean {
    const isTerm = (value: Value | null): boolean => value !== null && this.#formsOf(value).part !== undefined && this.#formsOf(value).full === undefined;
    if (!node.inputs.some(isTerm)) return false;
    const way = this.#facts.ways(node).find(({ inputs }) => node.inputs.every((value, i) => !isTerm(value) || inputs[i] === 'partial'));
    // one term that is added to what is whole, in a sum that must be made at once: it is made before
    const lonely = way && node.inputs.filter(isTerm).length === 1 && way.inputs.filter((place) => place === 'partial').length > 1;
    if (!way || (lonely && node.outputs.some((value) => this.#mustBeSummed(value)))) return false;
    const inputs = node.inputs.map((value, i) => (way.inputs[i] === 'partial' && value ? (isTerm(value) ? this.#formsOf(value).part! : this.#facts.constant.has(value) ? this.#onceOnly(value) : this.#term(value)) : this.#optional(value)));
    const level = levelOf(inputs);
    const outputs = node.outputs.map((value) => {
      const local = this.#local(value, '/part', level);
      this.#formsOf(value).part = local;
      return local;
    });
    this.#step({ level, inputs: inputs.filter((value) => value !== null), outputs, floating: false, build: (target) => target.copy(node, inputs.map((value) => value && target.value(value))) });
    for (const value of node.outputs) this.#settle(value);
    return true;
  }

  /** A sum that something looks at is made where it arises, and not again behind it. */
  #settle(value: Value): void {
    const forms = this.#formsOf(value);
    if (forms.part && !forms.full && this.#mustBeSummed(value)) this.#full(value);
  }

  #mustBeSummed(value: Value): boolean {
    return mustBeSummed(this.#facts, value, (node) => this.#cutting.has(node) || this.#owners.nodes.has(node));
  }

  #optional(value: Value | null): LocalValue | null {
    return value && value.name !== '' ? this.#full(value) : null;
  }

  /** The whole value on every shard. */
  #full(value: Value): LocalValue {
    const forms = this.#formsOf(value);
    if (forms.full) return forms.full;
    if (value.tensor) return (forms.full = { ...this.#local(value, '', 0), tensors: value.tensor });
    if (this.#facts.constant.has(value)) return this.#computedConstant(value);
    const [cut] = [...forms.cuts.values()];
    const from = forms.part ?? cut?.value;
    if (!from) throw new PenjingError('E_GRAPH', `${value.name} is read before it is computed`);
    const shape = this.#facts.shape(value);
    const half = forms.part && (from.dtype === 'float16' || from.dtype === 'bfloat16');
    const sent = half ? this.#cast(from, 'float32') : from;
    const collective: LocalCollective = forms.part ? { kind: 'reduce', from: sent, shape } : { kind: 'gather', from, shape, cut: cut!.cut };
    const whole: LocalValue = { ...this.#local(value, half ? '/sum' : '', from.level + 1), ...(half && { dtype: 'float32' as const }), collective };
    return (forms.full = half ? this.#cast(whole, from.dtype) : whole);
  }

  #cast(value: LocalValue, dtype: NonNullable<LocalValue['dtype']>): LocalValue {
    const to = { float32: 1, float16: 10, bfloat16: 16 }[dtype as string]!;
    const output: LocalValue = { name: this.#names.claim(`${value.name}/${dtype}`), dtype, rank: value.rank, level: value.level };
    this.#step({ level: value.level, inputs: [value], outputs: [output], floating: false, build: (target) => [target.op('Cast', [target.value(value)], { to })] });
    return output;
  }

  #computedConstant(value: Value): LocalValue {
    const node = value.producer!;
    const inputs = node.inputs.map((input) => this.#optional(input));
    const outputs = node.outputs.map((output) => this.#local(output, '', 0));
    this.#step({ level: 0, inputs: inputs.filter((input) => input !== null), outputs, floating: true, build: (target) => target.copy(node, inputs.map((input) => input && target.value(input))) });
    node.outputs.forEach((output, i) => (this.#formsOf(output).full = outputs[i]!));
    return this.#formsOf(value).full!;
  }

  /** The shard's part of a value: as it was made, or taken out of the whole. */
  #part(value: Value, key: AxisKey, cut: AxisCut): LocalValue {
    const forms = this.#formsOf(value);
    const known = forms.cuts.get(key);
    // parts of another layout are put together first
    if (known && sameCut(known.cut, cut)) return known.value;
    const whole = this.#full(value);
    const local = this.#local(value, '/cut', whole.level);
    this.#step({
      level: whole.level, inputs: [whole], outputs: [local], floating: false,
      build: (target) => {
        const ranges = cut.ranges[target.shard]!;
        const axis = target.constant('int64', [cut.axis]);
        if (ranges.length === 1) return [target.op('Slice', [target.value(whole), target.constant('int64', [ranges[0]![0]]), target.constant('int64', [ranges[0]![1]]), axis])];
        const places = ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
        return [target.op('Gather', [target.value(whole), target.constant('int64', places)], { axis: cut.axis })];
      },
    });
    if (!known) forms.cuts.set(key, { value: local, cut });
    return local;
  }

  #constantPart(value: Value, path: string, key: AxisKey, cut: ChosenCut, place: { readonly axis: number; readonly view?: Shape }): LocalValue {
    const ranges = cut.layout.ranges(key);
    const memo = value.tensor ? `${this.#axes.value(value, place.axis)} ${JSON.stringify(ranges)} ${place.view?.join() ?? ''}` : path;
    const known = this.#cutConstants.get(memo);
    if (known) return known;
    let local: LocalValue;
    if (value.tensor) {
      const tensors = ranges.map((own) => cutConstant(value.tensor!, place.axis, own, place.view));
      local = { ...this.#local(value, '/cut', 0), tensors };
    } else {
      const use = cut.constants.get(path)!;
      const { node, way } = use;
      const inputs = node.inputs.map((input, i) => {
        if (!input || input.name === '') return null;
        const inner = way.inputs[i];
        return isSlot(inner) ? this.#constantPart(input, inputPath(path, i), use.inputs[i]!, cut, inner) : this.#full(input);
      });
      const outputs = node.outputs.map((output) => this.#local(output, '/cut', 0));
      this.#step({ level: 0, inputs: inputs.filter((input) => input !== null), outputs, floating: true, build: (target) => buildCut(target, node, way, cut, inputs) });
      local = outputs[node.outputs.indexOf(value)]!;
    }
    this.#cutConstants.set(memo, local);
    return local;
  }

  /** The value on the first shard, zeros on the others. */
  #onceOnly(value: Value): LocalValue {
    if (!value.tensor) return this.#term(value);
    const key = `once ${this.#axes.value(value, 0)}`;
    let local = this.#cutConstants.get(key);
    if (!local) {
      const { tensor } = value;
      const zeros: Tensor = zerosLike(tensor);
      local = { ...this.#local(value, '/once', 0), tensors: Array.from({ length: this.#facts.shards }, (_, shard) => (shard === 0 ? tensor : zeros)) };
      this.#cutConstants.set(key, local);
    }
    return local;
  }

  /** A whole value as terms of a sum: all of it on the first shard. */
  #term(value: Value): LocalValue {
    const forms = this.#formsOf(value);
    if (forms.part && !forms.full) return forms.part;
    const whole = this.#full(value);
    const key = `term ${this.#axes.value(value, 0)}`;
    const known = this.#cutConstants.get(key);
    if (known) return known;
    const local = this.#local(value, '/term', whole.level);
    this.#step({
      level: whole.level, inputs: [whole], outputs: [local], floating: false,
      build: (target) => {
        const x = target.value(whole);
        // chosen, not multiplied: what is infinite must not become NaN
        return [target.shard === 0 ? target.op('Identity', [x]) : target.op('Where', [target.constant('bool', 0), x, target.constant(whole.dtype ?? 'float32', 0)])];
      },
    });
    this.#cutConstants.set(key, local);
    return local;
  }

  #formsOf(value: Value): Forms {
    let forms = this.#forms.get(value);
    if (!forms) this.#forms.set(value, (forms = { cuts: new Map() }));
    return forms;
  }

  #local(value: Value, suffix: string, level: number): LocalValue {
    const name = value.name === '' ? '' : suffix === '' ? value.name : this.#names.claim(value.name + suffix);
    return { name, dtype: this.#facts.dtype(value), rank: this.#facts.shape(value)?.length, level };
  }

  #step(step: LocalStep): void {
    this.#steps.push(step);
    for (const output of step.outputs) output.step = step;
  }
}

function buildCut(target: SegmentTarget, node: Node, way: Way, { layout }: ChosenCut, inputs: readonly (LocalValue | null)[]): readonly (Value | undefined)[] {
  const share = layout.share(target.shard);
  const values = inputs.map((value) => value && target.value(value));
  if (way.local) return way.local(localNode(target, node, values, share));
  return target.copy(node, values, way.attributes?.(share) ?? {});
}

const levelOf = (values: readonly (LocalValue | null)[]): number => values.reduce((most, value) => Math.max(most, value?.level ?? 0), 0);

const sameCut = (a: AxisCut, b: AxisCut): boolean => a.axis === b.axis && JSON.stringify(a.ranges) === JSON.stringify(b.ranges);
