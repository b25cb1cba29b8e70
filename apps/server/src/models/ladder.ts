/** A model and its cheaper variants: under overload requests go a step down before any is refused, and up again when it is calm. */
import type { ModelOptions } from '../config/schema.js';
import { type Clock, systemClock } from '../schedule/clock.js';
import type { ServedModel } from './served-model.js';

/** How much there is to do for one variant. */
export interface Pressure {
  readonly waiting: number;
  readonly active: number;
  /** The next request would be refused. */
  readonly full: boolean;
}

export interface LadderSurroundings {
  readonly pressure: (model: ServedModel) => Pressure;
  readonly clock?: Clock;
  /** Told for each request which variant gets it. */
  readonly onPick?: (model: ServedModel) => void;
  /** Throws for a variant that is not loaded yet, and could not be when it is needed. */
  readonly check?: (model: ServedModel) => Promise<unknown>;
  /** Told of each variant below that cannot be loaded; the others stay as they are. */
  readonly onFailure?: (model: ServedModel, error: unknown) => void;
}

/** How often it looks while it is overloaded or steps are down; requests look as well. */
const LOOK_MS = 250;
/** A variant that cannot be loaded is not tried again at each request. */
const RETRY_MS = 30_000;

export class Ladder {
  /** The best first. */
  readonly rungs: readonly ServedModel[];
  readonly #policy: ModelOptions['overload'];
  readonly #pressure: LadderSurroundings['pressure'];
  readonly #clock: Clock;
  readonly #surroundings: LadderSurroundings;
  #step = 0;
  #overSince: number | undefined;
  #calmSince: number | undefined;
  #retryAt = 0;
  #stopLooking: (() => void) | undefined;

  constructor(rungs: readonly [ServedModel, ...ServedModel[]], surroundings: LadderSurroundings) {
    this.rungs = rungs;
    this.#policy = rungs[0].identity.options.overload;
    this.#surroundings = surroundings;
    this.#pressure = surroundings.pressure;
    this.#clock = surroundings.clock ?? systemClock;
  }

  /** 0 is the best. */
  get step(): number {
    return this.#step;
  }

  /** The variant for a request that has come now. */
  pick(): ServedModel {
    this.#look();
    while (this.#pressure(this.rungs[this.#step]!).full && this.#down());
    const model = this.rungs[this.#step]!;
    this.#surroundings.onPick?.(model);
    return model;
  }

  /** Loads the variants below if they are to be warm, or loads those anew that are loaded, and looks whether the others could be. */
  async load(): Promise<void> {
    const lower = this.rungs.slice(1);
    await Promise.all(lower.map((rung) => this.#telling(rung, this.#policy.warm || rung.wanted ? rung.load() : this.#surroundings.check?.(rung))));
  }

  /** All but the first, which is whoever's who has it. */
  async unload(reason?: string): Promise<void> {
    this.#stopLooking?.();
    this.#stopLooking = undefined;
    this.#step = 0;
    this.#overSince = undefined;
    this.#calmSince = undefined;
    await Promise.all(this.rungs.slice(1).map((rung) => rung.unload(reason)));
  }

  #look(): void {
    const { waiting: many, afterMs, calmMs } = this.#policy;
    const now = this.#clock.now();
    while (this.#step > 0 && this.rungs[this.#step]!.state !== 'READY') this.#step--;
    const { waiting, active } = this.#pressure(this.rungs[this.#step]!);
    if (waiting < many) this.#overSince = undefined;
    else if (now - (this.#overSince ??= now) >= afterMs && this.#down()) this.#overSince = undefined;
    // What would be as much as it can do for a better variant is no calm.
    const calm = active <= this.rungs[0]!.identity.options.maxConcurrent / 2 && this.rungs.slice(0, this.#step + 1).every((rung) => this.#pressure(rung).waiting === 0);
    if (this.#step === 0 || !calm) this.#calmSince = undefined;
    else if (now - (this.#calmSince ??= now) >= calmMs) {
      // One that has died is passed over; while none is ready it stays where it is.
      const better = this.rungs.findLastIndex(({ state }, index) => index < this.#step && state === 'READY');
      if (better !== -1) {
        this.#step = better;
        this.#calmSince = now;
      }
    }
    this.#lookAgain();
  }

  /** Whether it went down; one that is not loaded yet begins to be. */
  #down(): boolean {
    // What is in flight of a model that was unloaded may still fill it: nothing may come back for that.
    if (!this.rungs[0]!.wanted) return false;
    const next = this.rungs[this.#step + 1];
    if (!next) return false;
    if (next.state === 'READY') {
      this.#step++;
      this.#calmSince = undefined;
      return true;
    }
    const now = this.#clock.now();
    if (next.state === 'UNAVAILABLE' && now >= this.#retryAt) {
      this.#retryAt = now + RETRY_MS;
      void this.#telling(next, next.load());
    }
    return false;
  }

  async #telling(rung: ServedModel, work: Promise<unknown> | undefined): Promise<void> {
    await work?.catch((error: unknown) => this.#surroundings.onFailure?.(rung, error));
  }

  #lookAgain(): void {
    if (this.#stopLooking || (this.#step === 0 && this.#overSince === undefined)) return;
    this.#stopLooking = this.#clock.after(LOOK_MS, () => {
      this.#stopLooking = undefined;
      this.#look();
    });
  }
}
