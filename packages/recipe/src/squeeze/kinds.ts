/** The kinds of ways to make a weight smaller: how each is measured, what it is called, and the step of a recipe that does it. A new one is a row. */
import { type PaletteCandidate, paletteLosses, pruneLosses, type SparseCandidate } from '@penjing/compress';
import type { LossMeasure } from '@penjing/core/calibrate';
import { describeCandidate, roundingLosses, type WeightCandidate } from '@penjing/quantize';
import type { QuantizeStep } from '../steps/quantize.js';
import type { Calibrated } from '../steps/step.js';
import type { RecipeStep } from '../steps/steps.js';

/** What one weight may become. */
export type Candidate = WeightCandidate | PaletteCandidate | SparseCandidate;

/** Weights that become the same. */
export interface Treated<One> {
  readonly candidate: One;
  readonly names: readonly string[];
  readonly bytes: number;
}

interface Kind<One> {
  readonly measure: () => LossMeasure<One>;
  readonly describe: (candidate: One) => string;
  /** `groups` holds at least one, the largest first. */
  readonly step: (groups: readonly Treated<One>[], calibration: Calibrated) => RecipeStep;
  /** What it saves: bytes of the file, or weights that are not zero. */
  readonly saves: 'size' | 'weights';
}

const nothingElse = { match: ['/^/'], method: 'none' } as const;

const sparse: Omit<Kind<SparseCandidate>, 'measure'> = {
  describe: ({ sparsity, pattern }) => `sparsegpt ${pattern ?? `${Math.round(sparsity! * 100)} %`}`,
  step: (groups, calibration) => ({
    prune: { method: 'sparsegpt', ...sparsityOf(groups[0]!.candidate), ...calibration, layers: [...groups.map(({ candidate, names }) => ({ match: names.map(exactly), ...sparsityOf(candidate) })), nothingElse] },
  }),
  saves: 'weights',
};

/** In the order in which their steps run: zeros before grids, and codebooks last, since nothing is calibrated behind them. */
export const kinds = {
  sparse: { ...sparse, measure: () => pruneLosses() } satisfies Kind<SparseCandidate>,
  '2:4': { ...sparse, measure: () => pruneLosses([{ method: 'sparsegpt', pattern: '2:4' }]) } satisfies Kind<SparseCandidate>,
  int: { measure: () => roundingLosses(), describe: describeCandidate, step: quantizeStep, saves: 'size' } satisfies Kind<WeightCandidate>,
  palette: {
    measure: () => paletteLosses(),
    describe: ({ bits }) => `palette of ${2 ** bits}`,
    step: (groups, calibration) => ({
      cluster: { method: 'sensitivity', bits: groups[0]!.candidate.bits, ...calibration, layers: [...groups.map(({ candidate: { bits }, names }) => ({ match: names.map(exactly), bits })), nothingElse] },
    }),
    saves: 'size',
  } satisfies Kind<PaletteCandidate>,
} as const;

export type KindName = keyof typeof kinds;

const methodKinds: Readonly<Record<Candidate['method'], KindName>> = { rtn: 'int', hqq: 'int', gptq: 'int', palette: 'palette', sparsegpt: 'sparse' };

export function kindOf({ method }: Candidate): KindName {
  return methodKinds[method];
}

/** As reports and `--json` call it: `gptq int4 block 32 symmetric`. */
export function describeChoice(candidate: Candidate): string {
  return (kinds[kindOf(candidate)].describe as (candidate: Candidate) => string)(candidate);
}

/** The step that does it to these weights and leaves the others alone. */
export function stepOf(kind: KindName, groups: readonly Treated<Candidate>[], calibration: Calibrated): RecipeStep {
  return (kinds[kind].step as Kind<Candidate>['step'])(groups, calibration);
}

export function measuresOf(names: readonly KindName[]): LossMeasure<Candidate>[] {
  return names.map((name) => kinds[name].measure() as unknown as LossMeasure<Candidate>);
}

/** The variant of a model is named after what most of it became. */
function quantizeStep(groups: readonly Treated<WeightCandidate>[], calibration: Calibrated): RecipeStep {
  const { bits, blockSize, symmetric } = groups[0]!.candidate;
  const calibrated = groups.some(({ candidate }) => candidate.method === 'gptq');
  const step: QuantizeStep = {
    bits, blockSize, symmetric,
    method: calibrated ? 'gptq' : 'rtn',
    ...(calibrated && calibration),
    layers: [...groups.map(({ candidate, names }) => ({ match: names.map(exactly), ...candidate })), nothingElse],
  };
  return { quantize: step };
}

function sparsityOf({ sparsity, pattern }: SparseCandidate): { readonly sparsity?: number; readonly pattern?: string } {
  return { ...(sparsity !== undefined && { sparsity }), ...(pattern !== undefined && { pattern }) };
}

/** A name between slashes would be read as a pattern. */
function exactly(name: string): string {
  return name.length > 2 && name.startsWith('/') && name.endsWith('/') ? `/^${name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}$/` : name;
}
