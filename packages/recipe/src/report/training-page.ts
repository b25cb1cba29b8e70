/** The page of a training: the loss as it fell, the measurements, and how far the weights went. */
import type { WeightRecord } from '@penjing/core';
import type { Recipe } from '../recipe-schema.js';
import type { Training } from '../steps/step.js';
import { curvePlot } from './curve-plot.js';
import { describeRecipe } from './describe-recipe.js';
import { renderPage } from './page.js';
import { format, pointPlot } from './plots.js';

export function trainingPage(recipe: Recipe, trainings: readonly Training[], records: readonly WeightRecord[], date = new Date()): string {
  const moved = records.filter(({ snrDb }) => snrDb !== undefined && Number.isFinite(snrDb));
  return renderPage({
    title: 'Training',
    lead: describeRecipe(recipe),
    facts: trainings.flatMap(factsOf),
    plots: [
      ...trainings.flatMap(plotsOf),
      ...(moved.length > 0 ? [pointPlot({ title: 'How far each weight went', axis: 'weight against its change, dB (lower went further)' }, moved.map(({ name, snrDb }) => ({ label: name, value: snrDb! })))] : []),
    ],
    tables: [...trainings.filter(({ validations }) => validations.length > 0).map(measurements), weights(records)],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC.`,
  });
}

function factsOf(training: Training): [string, string][] {
  const { losses, validations, best, seconds, seen, perEpoch, unit, reason } = training;
  const kept = validations.find(({ step }) => step === best?.step);
  const perplexities: [string, string][] = kept && unit === 'tokens' ? [['perplexity', `${format(Math.exp(validations[0]!.loss))} → ${format(Math.exp(kept.loss))}`]] : [];
  return [
    ['steps', `${losses.length} (ended by ${reason})`],
    ['epochs', format(seen / perEpoch)],
    [`${unit} per second`, format(seen / seconds)],
    [lossName(training), `${format(losses[0] ?? NaN)} → ${format(losses.at(-1) ?? NaN)}`],
    ...(kept ? [['held-out loss', `${format(validations[0]!.loss)} → ${format(kept.loss)} (step ${kept.step})`] as [string, string]] : []),
    ...perplexities,
    ...Object.entries(kept?.metrics ?? {}).map(([name, value]): [string, string] => [name, `${(100 * value).toFixed(2)} %`]),
  ];
}

/** What is minimized is what is measured when labels alone teach; a teacher's loss is another one. */
const isTaught = ({ step }: Training): boolean => step === 'distill';
const lossName = (training: Training): string => (isTaught(training) ? 'loss of the lesson' : 'loss');

function plotsOf(training: Training): string[] {
  const { losses, rates, validations } = training;
  const steps = (values: readonly number[]): { x: number; y: number }[] => values.map((y, i) => ({ x: i + 1, y }));
  const learned = [{ name: 'each step', points: steps(losses), faint: true }, { name: 'smoothed', points: steps(smoothed(losses)) }];
  const measured = validations.length > 0 ? [{ name: 'held out', points: validations.map(({ step, loss }) => ({ x: step, y: loss })), dots: true }] : [];
  const across = 'step';
  return [
    ...(isTaught(training)
      ? [curvePlot({ title: 'Loss of the lesson', axis: 'loss', across }, learned), ...(measured.length > 0 ? [curvePlot({ title: 'Cross-entropy of the held-out samples', axis: 'nats', across, low: true }, measured)] : [])]
      : [curvePlot({ title: 'Loss', axis: 'nats', across }, [...learned, ...measured])]),
    curvePlot({ title: 'Learning rate', axis: 'rate', across: 'step', low: true }, [{ name: 'rate', points: steps(rates) }]),
  ];
}

/** A moving average over a thirtieth of the curve. */
function smoothed(values: readonly number[]): number[] {
  const keep = 1 - 1 / Math.max(1, values.length / 30);
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    sum = keep * sum + value;
    weight = keep * weight + 1;
    return sum / weight;
  });
}

function measurements({ validations, best }: Training): { title: string; header: string[]; rows: string[][] } {
  const metrics = Object.keys(validations[0]!.metrics);
  return {
    title: 'Measurements',
    header: ['step', 'loss', ...metrics, 'kept'],
    rows: validations.map(({ step, loss, metrics: values }) => [String(step), format(loss), ...metrics.map((name) => format(values[name] ?? NaN)), step === best?.step ? 'yes' : '']),
  };
}

function weights(records: readonly WeightRecord[]): { title: string; header: string[]; rows: string[][] } {
  const optional = (value: number | undefined): string => (value === undefined ? '—' : format(value));
  return {
    title: 'Weights',
    header: ['weight', 'method', 'elements', '½‖change‖²', 'snrDb', 'largest change', 'note'],
    rows: records.map(({ name, method, elements, objective, snrDb, maxError, note }) => [name, method, String(elements), optional(objective), optional(snrDb), optional(maxError), note ?? '']),
  };
}
