/** All models of a server, by name and version. */
import { PenjingError } from '@penjing/core';
import { MODEL_NAME } from '../config/schema.js';
import type { HostMethod } from '../host/protocol.js';
import { measuredLoss } from './measured-loss.js';
import type { FoundModel, ModelShelf } from './shelf.js';
import { Ladder, type LadderSurroundings } from './ladder.js';
import { type ModelIdentity, ServedModel, type ServedModelOptions } from './served-model.js';

export interface ModelIndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: ServedModel['state'];
  readonly reason: string;
}

export interface RepositoryOptions extends ServedModelOptions {
  /** Without it no model has a ladder. */
  readonly ladders?: LadderSurroundings;
}

export class ModelRepository {
  readonly #shelf: ModelShelf;
  readonly #options: RepositoryOptions;
  /** By name, then version. */
  readonly #models = new Map<string, Map<string, ServedModel>>();
  readonly #ladders = new WeakMap<ServedModel, Ladder>();
  /** Loads and unloads of one model come one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Before anything has been loaded nothing is missed, and yet nothing can be asked. */
  #phase: 'new' | 'loading' | 'known' = 'new';

  constructor(shelf: ModelShelf, options: RepositoryOptions) {
    this.#shelf = shelf;
    this.#options = options;
  }

  /** Everything that was loaded once. */
  list(): readonly ServedModel[] {
    return [...this.#models.values()].flatMap((versions) => [...versions.values()]);
  }

  /** The variants of a model, for one that has several. */
  ladderOf(model: ServedModel): Ladder | undefined {
    return this.#ladders.get(model);
  }

  /** All that answer by its name: the model, and what its ladder has below. */
  variantsOf(model: ServedModel): readonly ServedModel[] {
    return this.#ladders.get(model)?.rungs ?? [model];
  }

  /** All models that are known, loaded or not; those of the shelf too. */
  async index(): Promise<readonly ModelIndexEntry[]> {
    const loaded = this.list().map(({ identity: { name, version }, state, reason }) => ({ name, version, state, reason }));
    const more = (await this.#shelf.list()).flatMap(({ name, versions, problem }) => [
      ...versions.filter(({ version }) => !this.#models.get(name)?.has(version)).map(({ version }) => ({ name, version, state: 'UNAVAILABLE' as const, reason: 'not loaded' })),
      ...(problem === undefined || this.#models.has(name) ? [] : [{ name, version: '', state: 'UNAVAILABLE' as const, reason: problem }]),
    ]);
    return [...loaded, ...more].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : Number(a.version) - Number(b.version)));
  }

  /** The version, or the newest that is ready (else the newest). Throws `E_MODEL_NOT_FOUND`. */
  get(name: string, version?: string): ServedModel {
    const versions = MODEL_NAME.test(name) ? this.#models.get(name) : undefined;
    const found = version === undefined ? newest([...(versions?.values() ?? [])]) : versions?.get(version);
    if (found) return found;
    const shown = MODEL_NAME.test(name) ? name : 'of that name';
    throw new PenjingError('E_MODEL_NOT_FOUND', versions ? `model ${shown} has no such version` : `there is no model ${shown}`, { hint: 'GET /v1/models lists the models.' });
  }

  /** The model by name, ready for a method; of a ladder the variant whose turn it is. Throws `E_MODEL_NOT_FOUND` and, for one that is for something else, `E_TASK`. */
  getFor(name: string, method: HostMethod): ServedModel {
    const model = this.get(name);
    const task = model.description?.task;
    const able = task === undefined || { write: task === 'text-generation', embed: task === 'embedding', infer: task !== 'text-generation' }[method];
    if (able) return this.#ladders.get(model)?.pick() ?? model;
    throw new PenjingError('E_TASK', `model ${name} is for ${task}, not for this`, { hint: 'GET /v1/models lists the models and what they are for.' });
  }

  /** Whether all that shall be ready is; never before it is known what that is: after `loadAll`, or a load without it. */
  get ready(): boolean {
    return this.#phase === 'known' && this.list().every((model) => !model.wanted || model.state === 'READY');
  }

  /** Loads a model of the shelf, or loads it anew; versions that are not there any more are unloaded once the new ones are ready. */
  load(name: string): Promise<readonly ServedModel[]> {
    return this.#inTurn(name, async () => {
      const found = MODEL_NAME.test(name) ? await this.#shelf.find(name) : undefined;
      if (!found) throw new PenjingError('E_MODEL_NOT_FOUND', `there is no model ${MODEL_NAME.test(name) ? name : 'of that name'}`);
      const versions = this.#models.get(name) ?? new Map<string, ServedModel>();
      this.#models.set(name, versions);
      const loaded: ServedModel[] = [];
      for (const identity of identitiesOf(found)) loaded.push(await this.#loadVersion(versions, identity));
      for (const [version, model] of versions) {
        if (loaded.includes(model)) continue;
        await this.#unloadWhole(model, 'a newer version took its place');
        versions.delete(version);
      }
      if (this.#phase === 'new') this.#phase = 'known';
      return loaded;
    });
  }

  /** Unloads all versions; they stay in the index. */
  unload(name: string): Promise<void> {
    return this.#inTurn(name, async () => {
      this.get(name);
      await Promise.all([...this.#models.get(name)!.values()].map((model) => this.#unloadWhole(model)));
    });
  }

  async loadAll(): Promise<void> {
    if (this.#phase === 'new') this.#phase = 'loading';
    const loads = await Promise.allSettled((await this.#shelf.list()).map(({ name }) => this.load(name)));
    this.#phase = 'known';
    // In the order of the shelves, not of time: what was named goes before what lies in the repository.
    for (const load of loads) if (load.status === 'rejected') throw load.reason;
  }

  async close(): Promise<void> {
    await Promise.all(this.list().map((model) => this.#unloadWhole(model, 'the server is ending')));
  }

  async #loadVersion(versions: Map<string, ServedModel>, identity: ModelIdentity): Promise<ServedModel> {
    const known = versions.get(identity.version);
    // Other options need another one; it takes the place when it is ready.
    const same = known && JSON.stringify({ ...known.identity, rung: undefined }) === JSON.stringify(identity);
    const model = same ? known : await this.#create(identity);
    if (!known) versions.set(identity.version, model);
    await model.load();
    await this.#ladders.get(model)?.load();
    if (known && !same) {
      versions.set(identity.version, model);
      void this.#unloadWhole(known, 'it was loaded anew');
    }
    return model;
  }

  async #create(identity: ModelIdentity): Promise<ServedModel> {
    const [first, ...lower] = await rungsOf(identity);
    const model = new ServedModel(first, this.#options);
    if (lower.length > 0 && this.#options.ladders) this.#ladders.set(model, new Ladder([model, ...lower.map((rung) => new ServedModel(rung, this.#options))], this.#options.ladders));
    return model;
  }

  async #unloadWhole(model: ServedModel, reason?: string): Promise<void> {
    await Promise.all([model.unload(reason), this.#ladders.get(model)?.unload(reason)]);
  }

  #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(work, work);
    const quiet = turn.catch(() => {}).then(() => {
      if (this.#turns.get(name) === quiet) this.#turns.delete(name);
    });
    this.#turns.set(name, quiet);
    return turn;
  }
}

function identitiesOf({ name, versions, options }: FoundModel): readonly ModelIdentity[] {
  return versions.map(({ version, path }) => ({ name, version, path, options }));
}

/** The model as it is asked for, and its cheaper variants. */
async function rungsOf(identity: ModelIdentity): Promise<readonly [ModelIdentity, ...ModelIdentity[]]> {
  const { path, options } = identity;
  if (options.ladder.length === 0) return [identity];
  const lower = options.ladder.map(async ({ variant, path: other, loss }): Promise<ModelIdentity> => ({
    ...identity,
    path: other ?? path,
    options: { ...options, variant: other === undefined ? variant : undefined },
    rung: { variant, loss: loss ?? (await measuredLoss(path, variant)) },
  }));
  return [{ ...identity, rung: { variant: options.variant ?? 'fp32', loss: undefined } }, ...(await Promise.all(lower))];
}

function newest(models: readonly ServedModel[]): ServedModel | undefined {
  const sorted = [...models].sort((a, b) => Number(b.identity.version) - Number(a.identity.version));
  return sorted.find(({ state }) => state === 'READY') ?? sorted.find(({ wanted }) => wanted) ?? sorted[0];
}
