/** Every kind of step, and what the steps of a recipe come to. A new one is a file beside this one and a line. */
import type { Pass } from '@penjing/core';
import { castStep } from './cast.js';
import { clusterStep } from './cluster.js';
import { convertStep } from './convert.js';
import { distillStep } from './distill.js';
import { finetuneStep } from './finetune.js';
import { lowRankStep } from './lowrank.js';
import { pruneStep } from './prune.js';
import { quantizeStep } from './quantize.js';
import { quantizeDynamicStep } from './quantize-dynamic.js';
import { quantizeStaticStep } from './quantize-static.js';
import { shrinkStep } from './shrink.js';
import { simplifyStep } from './simplify.js';
import { smoothStep } from './smooth.js';
import type { Calibration, StepKind, StepTarget, StoredAs } from './step.js';

export const stepKinds = { convert: convertStep, simplify: simplifyStep, prune: pruneStep, shrink: shrinkStep, lowrank: lowRankStep, cluster: clusterStep, quantize: quantizeStep, smooth: smoothStep, quantizeStatic: quantizeStaticStep, quantizeDynamic: quantizeDynamicStep, cast: castStep, finetune: finetuneStep, distill: distillStep } as const;

type Kinds = typeof stepKinds;
type OptionsOf<Kind> = Kind extends StepKind<infer Options> ? Options : never;

/** One step: its name and its options. */
export type RecipeStep = { readonly [Name in keyof Kinds]: { readonly [Only in Name]: OptionsOf<Kinds[Name]> } }[keyof Kinds];

/** A step with its options filled in. */
export interface BoundStep {
  /** Builds the pass; absent for the step that says how the model is built. */
  readonly pass?: (target: StepTarget) => Pass;
  readonly calibration: Calibration | undefined;
  readonly stored: StoredAs;
  readonly check: number;
  readonly runsGraph: boolean;
  readonly runsJobs: boolean;
}

/** A step of a file has exactly one name: the schema sees to it. */
export function bindStep(step: RecipeStep): BoundStep {
  const [[name, options]] = Object.entries(step) as [[keyof Kinds, never]];
  const { pass, calibration, stored, check, runsGraph = false, runsJobs = false }: StepKind<never> = stepKinds[name];
  return {
    ...(pass && { pass: (target) => pass(options, target) }),
    calibration: calibration?.(options),
    stored: stored?.(options) ?? {},
    check: check?.(options) ?? 0,
    runsGraph,
    runsJobs,
  };
}
