/** Applies rules over all graphs of a model, round by round, until none applies. */
import type { Engine } from '../engine.js';
import type { Graph } from '../graph/graph.js';
import { cloneModel } from '../graph/clone.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { allNodes, modelGraphs } from '../graph/traverse.js';
import { inferFacts } from '../infer/infer-shapes.js';
import { opName } from '../ops/lookup.js';
import type { WeightRecord } from '../record.js';
import type { Progress } from '../task.js';
import { toDense } from '../tensor.js';
import { Budget, LARGEST_TRIED } from './budget.js';
import { mergeCommonNodes } from './common.js';
import { removeDead } from './dead.js';
import { mergeEqualWeights } from './equal-weights.js';
import { foldConstants } from './fold-constants.js';
import { foldKnown } from './fold-known.js';
import { isPlain, Rewriter } from './rewriter.js';
import type { Fusions, Rule, RulePhase } from './rule.js';
import { freezeInputs, liftConstants, rewritableGraphs, uniqueNames } from './scopes.js';
import { nodeBytes, tensorBytes } from './stored-size.js';

export interface DriverOptions {
  readonly engine: Engine | undefined;
  readonly fusions: Fusions;
  readonly rules: readonly Rule[];
  /** Whether a step over whole graphs is wanted. */
  readonly enabled: (step: string) => boolean;
  readonly keepDefaults: boolean;
  readonly allowGrowth: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export interface DriverResult {
  readonly model: Model;
  readonly applied: Record<string, number>;
  readonly warnings: readonly string[];
  readonly records: readonly WeightRecord[];
}

/** Rules that undid each other would never end; no model of the test material needs more than a third of this. */
const MAX_ROUNDS = 60;

/** Weights up to this size come into memory, where rules can look at them. */
const DENSE_BYTES = 64 << 10;
/** And of all weights together no more than this. */
const DENSE_TOTAL = 128 << 20;

const phases: readonly (readonly RulePhase[])[] = [['clean'], ['clean', 'fuse'], ['clean', 'fuse', 'merge']];

/** A fold may store a few bytes more than its node takes: what reads the result is usually folded next, and then all of it goes. */
const SLACK = 48;

/** What a generous run may add in all, before what becomes superfluous goes. */
const GENEROUS = 1 << 20;

/**
 * In place, unless that would have made the file larger: then a more careful run on a copy made before, without any slack, and if
 * that is not enough without the rules that store constants. Where folds were left out that would have stored more than they
 * remove, a generous run on another copy tells whether the file is no larger in the end (a table of positions that is only looked up
 * whole); then that counts.
 */
export async function rewriteToFixpoint(model: Model, options: DriverOptions): Promise<DriverResult> {
  const bytes = modelBytes(model);
  const careful = { ...options, rules: options.rules.filter((rule) => !rule.stores) };
  let next = cloneModel(model);
  let result = await rewrite(model, options, SLACK);
  if (result.refused && !options.allowGrowth) {
    const copy = cloneModel(next);
    const generous = await rewrite(next, options, SLACK, GENEROUS);
    if (modelBytes(generous.model) <= bytes) return generous;
    next = copy;
  }
  for (const attempt of [options, careful]) {
    if (options.allowGrowth || modelBytes(result.model) <= bytes) break;
    const copy = cloneModel(next);
    result = await rewrite(next, attempt, 0);
    next = copy;
  }
  return result;
}

async function rewrite(model: Model, options: DriverOptions, slack: number, generosity = 0): Promise<DriverResult & { readonly refused: boolean }> {
  const run = new Run(model, options, slack, generosity);
  // Nothing of a graph without outputs is ever asked for, so nothing of it would be left.
  if (model.graph.outputs.length === 0) return { model, applied: {}, warnings: ['the graph has no outputs'], records: [], refused: false };
  const foreign = options.fusions === 'onnxruntime' ? importContrib(model) : [];
  run.prepare();
  for (const phase of phases) await run.phase(options.rules.filter((rule) => phase.includes(rule.phase)), phase === phases.at(-1));
  dropUnused(foreign);
  return { model, applied: Object.fromEntries(run.applied), warnings: run.warnings, records: run.records, refused: run.refused };
}

interface Import {
  readonly imports: Map<string, number>;
  readonly graph: Graph;
}

const CONTRIB = 'com.microsoft';

/** Makes ONNX Runtime's operators known where they are not; gives the places. */
function importContrib(model: Model): Import[] {
  const places = [{ imports: model.opsetImports, graph: model.graph }, ...model.functions.map((fn) => ({ imports: fn.opsetImports, graph: fn.body }))];
  const added = places.filter(({ imports }) => !imports.has(CONTRIB));
  for (const { imports } of added) imports.set(CONTRIB, 1);
  return added;
}

function dropUnused(added: readonly Import[]): void {
  for (const { imports, graph } of added) {
    let used = false;
    for (const node of allNodes(graph)) used ||= node.domain === CONTRIB;
    if (!used) imports.delete(CONTRIB);
  }
}

class Run {
  readonly applied = new Map<string, number>();
  readonly warnings: string[] = [];
  readonly records: WeightRecord[] = [];
  readonly #failed = new Set<Node>();
  readonly #bytesBefore: number;
  #rounds = 0;
  #dense = 0;

  /** A fold was left out for its size. */
  refused = false;

  constructor(readonly model: Model, readonly options: DriverOptions, readonly slack: number, readonly generosity: number) {
    this.#bytesBefore = modelBytes(model);
  }

  prepare(): void {
    const { model, options } = this;
    if (!options.keepDefaults) {
      const frozen = freezeInputs(model);
      if (frozen.length > 0) this.warnings.push(`${frozen.length} inputs with a default became constants: ${frozen.slice(0, 3).join(', ')}${frozen.length > 3 ? ', …' : ''}`);
      this.#count('defaults', frozen.length);
    }
    this.#count('constants', liftConstants(model.graph));
    for (const root of [model.graph, ...model.functions.map((fn) => fn.body)]) uniqueNames(root);
  }

  /** Rounds until nothing applies. In the last phase folds may use up what the others saved. */
  async phase(rules: readonly Rule[], last: boolean): Promise<void> {
    while (await this.#round(rules, last)) {
      if (++this.#rounds > MAX_ROUNDS) {
        this.warnings.push(`simplification was cut short after ${MAX_ROUNDS} rounds`);
        return;
      }
    }
  }

  async #round(rules: readonly Rule[], last: boolean): Promise<boolean> {
    const { model, options } = this;
    options.signal?.throwIfAborted();
    options.onProgress?.({ phase: 'simplify', done: this.#rounds, total: MAX_ROUNDS, unit: 'rounds' });
    const before = this.#total();
    await this.#loadSmall();
    const inference = inferFacts(model);
    const saved = last || this.generosity > 0 ? Math.max(0, this.#bytesBefore + this.generosity - modelBytes(model)) : 0;
    const budget = new Budget(options.allowGrowth ? Infinity : saved, this.slack, this.generosity > 0 ? LARGEST_TRIED : undefined);
    for (const [root, opsets] of this.#roots()) {
      const context = new Rewriter({ root, isFunction: root !== model.graph, opsets, inference, fusions: options.fusions, allowGrowth: options.allowGrowth, records: this.records });
      this.#sweep(context, rules, budget);
    }
    for (const [root, opsets] of this.#roots()) {
      const context = new Rewriter({ root, isFunction: root !== model.graph, opsets, inference, fusions: options.fusions, allowGrowth: options.allowGrowth, records: this.records });
      if (options.enabled('fold')) {
        this.#count('fold', await foldConstants(context, model, { engine: options.engine, budget, failed: this.#failed, warnings: this.warnings, signal: options.signal }));
      }
      if (options.enabled('common')) this.#count('common', mergeCommonNodes(context));
      if (options.enabled('weights')) this.#count('weights', await mergeEqualWeights(context, options.signal));
    }
    // Only the last refusals count: earlier phases wait for what others save.
    this.refused = budget.refused;
    if (options.enabled('dead')) this.#count('dead', removeDead(model));
    return this.#total() > before;
  }

  #sweep(context: Rewriter, rules: readonly Rule[], budget: Budget): void {
    const table = new Map<string, Rule[]>();
    const everywhere = rules.filter((rule) => !rule.ops);
    const rulesFor = (node: Node): readonly Rule[] => {
      const key = opName(node.domain, node.opType);
      let list = table.get(key);
      if (!list) table.set(key, (list = rules.filter((rule) => everywhere.includes(rule) || (rule.ops as readonly string[] | undefined)?.includes(key))));
      return list;
    };
    for (const graph of [...rewritableGraphs(context.root)]) {
      for (const node of graph.nodes()) {
        if (this.options.enabled('known') && foldKnown(node, context, budget)) this.#count('known', 1);
        // Inside a function an attribute may be the caller's.
        if (!isPlain(node)) continue;
        for (const rule of rulesFor(node)) {
          if (node.graph !== graph) break;
          if (rule.apply(node, context)) this.#count(rule.name, 1);
        }
      }
    }
  }

  *#roots(): Generator<readonly [Graph, ReadonlyMap<string, number>]> {
    yield [this.model.graph, this.model.opsetImports];
    for (const fn of this.model.functions) yield [fn.body, fn.opsetImports];
  }

  async #loadSmall(): Promise<void> {
    for (const graph of modelGraphs(this.model)) {
      for (const value of graph.initializers.values()) {
        const { tensor } = value;
        if (tensor?.kind !== 'lazy' || tensor.byteLength > DENSE_BYTES || this.#dense + tensor.byteLength > DENSE_TOTAL) continue;
        this.options.signal?.throwIfAborted();
        value.tensor = await toDense(tensor);
        this.#dense += tensor.byteLength;
      }
    }
  }

  #count(name: string, times: number): void {
    if (times > 0) this.applied.set(name, (this.applied.get(name) ?? 0) + times);
  }

  #total(): number {
    return [...this.applied.values()].reduce((sum, times) => sum + times, 0);
  }
}

function modelBytes(model: Model): number {
  let bytes = 0;
  for (const graph of modelGraphs(model)) {
    for (const node of graph.nodes()) bytes += nodeBytes(node, (value) => graph.outputs.includes(value));
    for (const value of graph.initializers.values()) if (value.tensor) bytes += tensorBytes(value.tensor, value.name);
    for (const value of graph.inputs) if (value.tensor) bytes += value.name.length + 12;
  }
  return bytes;
}

