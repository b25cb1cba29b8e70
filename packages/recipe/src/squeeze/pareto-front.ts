/** Chooses one candidate per layer: every best trade of bytes against loss, by dynamic programming over the layers. */

/** What one layer may become. */
export interface Choice {
  readonly bytes: number;
  /** What it adds to the loss of the model, which is taken to be the sum. */
  readonly loss: number;
}

/** A combination that no other beats in both. */
export interface FrontPoint extends Choice {
  /** Index of the candidate of every layer. */
  readonly choices: readonly number[];
}

export interface FrontOptions {
  /** Combinations that are kept after each layer; 2048 when absent. */
  readonly limit?: number;
}

/** One combination of the layers so far, as a list from the last layer to the first. */
interface State extends Choice {
  readonly choice: number;
  readonly before: State | undefined;
}

/**
 * The Pareto front from the fewest bytes to the least loss (Nemhauser and Ullmann 1969). Exact while no more than `limit` combinations
 * are worth keeping; beyond that of combinations whose size differs by less than 1/limit of the range the one of least loss stays, so that each
 * layer adds at most that much to the size of a point. A layer without candidates makes it empty. Losses may be 0, and are never negative.
 */
export function paretoFront(layers: readonly (readonly Choice[])[], { limit = 2048 }: FrontOptions = {}): FrontPoint[] {
  let states: State[] = [{ bytes: 0, loss: 0, choice: -1, before: undefined }];
  for (const candidates of layers) {
    const useful = nonDominated(candidates.map(({ bytes, loss }, choice) => ({ bytes, loss, choice, before: undefined })));
    const extended = useful.flatMap(({ bytes, loss, choice }) => states.map((before) => ({ bytes: before.bytes + bytes, loss: before.loss + loss, choice, before })));
    states = thinned(nonDominated(extended), limit);
  }
  return states.map((state) => ({ bytes: state.bytes, loss: state.loss, choices: choicesOf(state, layers.length) }));
}

/** The largest point that fits; undefined when none does. */
export function withinBytes(front: readonly FrontPoint[], bytes: number): FrontPoint | undefined {
  return front.findLast((point) => point.bytes <= bytes);
}

/** The smallest point that loses no more; undefined when every one does. */
export function withinLoss(front: readonly FrontPoint[], loss: number): FrontPoint | undefined {
  return front.find((point) => point.loss <= loss);
}

/** Sorted by bytes, each with less loss than the one before. */
function nonDominated(states: State[]): State[] {
  states.sort((a, b) => a.bytes - b.bytes || a.loss - b.loss);
  let best = Infinity;
  return states.filter(({ loss }) => {
    if (!(loss < best)) return false;
    best = loss;
    return true;
  });
}

/** The first and the last stay; of the others the last in each of equal ranges of bytes, which has the least loss there. */
function thinned(states: State[], limit: number): State[] {
  if (states.length <= limit) return states;
  const [first, last] = [states[0]!, states.at(-1)!];
  const width = (last.bytes - first.bytes) / limit;
  const place = ({ bytes }: State): number => Math.floor((bytes - first.bytes) / width);
  return states.filter((state, i) => i === 0 || i === states.length - 1 || place(state) !== place(states[i + 1]!));
}

function choicesOf(state: State, count: number): number[] {
  const choices = new Array<number>(count);
  let at: State | undefined = state;
  for (let layer = count - 1; layer >= 0; layer--) {
    choices[layer] = at!.choice;
    at = at!.before;
  }
  return choices;
}
