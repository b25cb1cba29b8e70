/** Plots of what was measured on data: losses along a text, classes one by one, embeddings. */
import type { ClassScores, ComparedEmbedding, TextLosses } from '@penjing/runtime';
import { confusionPlot } from './confusion-plot.js';
import { type Curve, curvePlot } from './curve-plot.js';
import type { ReportTable } from './page.js';
import { barPlot, decadeHistogram, format } from './plots.js';

/** A model and what is measured of it. */
export interface ScoredModel {
  readonly label: string;
  readonly classes?: ClassScores | undefined;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const classLabel = ({ label, name }: { readonly label: number; readonly name?: string }): string => name ?? String(label);

/** Classes whose bars, and whose confusions, fit a page. */
const MOST_BARS = 40;
const MOST_CELLS = 24;

/** Perplexity window by window, and by how much of the text stands before a token; `names` of a, and of b where there is one. */
export function lossPlots({ windows, contexts }: TextLosses, names: readonly string[]): string[] {
  const keys = (['nllA', 'nllB'] as const).slice(0, names.length);
  const plots: string[] = [];
  const mean = (nll: number, tokens: number): number => Math.exp(nll / tokens);
  if (windows.length > 1) {
    const curves = keys.map((key, i): Curve => ({ name: names[i]!, points: windows.map((window, x) => ({ x: x + 1, y: mean(window[key], window.tokens) })), dots: windows.length < 60 }));
    plots.push(curvePlot({ title: 'Along the text', axis: 'perplexity of each window (lower is better)', across: 'window', low: true }, curves));
  }
  const bins = contexts.map((bin, i) => ({ ...bin, from: 2 ** i })).filter(({ tokens }) => tokens > 0);
  if (bins.length > 1) {
    plots.push(barPlot({ title: 'By length of context', axis: 'perplexity, by tokens of context', group: names.length },
      bins.flatMap(({ from, tokens, ...sums }) => keys.map((key, i) => ({ label: `${from === 1 ? '1' : `${from} to ${2 * from - 1}`}${names.length > 1 ? `, ${names[i]!}` : ''}`, value: mean(sums[key], tokens), text: format(mean(sums[key], tokens)) })))));
  }
  return plots;
}

/** F1 of the classes, worst first where there are many, and which is taken for which. */
export function classPlots(models: readonly ScoredModel[]): string[] {
  const plots: string[] = [];
  const scored = models.filter((model): model is ScoredModel & { readonly classes: ClassScores } => model.classes !== undefined);
  const judged = scored.at(-1);
  if (!judged) return plots;
  const many = judged.classes.classes.length * scored.length > MOST_BARS;
  const shown = many ? [...judged.classes.classes].sort((a, b) => a.f1 - b.f1).slice(0, Math.floor(MOST_BARS / scored.length)) : judged.classes.classes;
  const bars = shown.flatMap((each) => scored.map(({ label, classes }) => {
    const f1 = classes.classes.find((other) => other.label === each.label)?.f1 ?? 0;
    return { label: `${classLabel(each)}${scored.length > 1 ? `, ${label}` : ''}`, value: f1, text: f1.toFixed(3) };
  }));
  plots.push(barPlot({ title: many ? `The ${shown.length} classes with the lowest F1` : 'F1 of each class', axis: 'harmonic mean of precision and recall', group: scored.length }, bars));
  if (judged.classes.classes.length <= MOST_CELLS) plots.push(confusionPlot({ title: 'Confusion matrix', axis: scored.length > 1 ? `${judged.label}: rows are labels, columns what was found` : 'rows are labels, columns what was found' }, judged.classes));
  return plots;
}

export function classTables({ classes }: { readonly classes?: ClassScores | undefined }): ReportTable[] {
  if (!classes) return [];
  const name = new Map(classes.classes.map((each) => [each.label, classLabel(each)]));
  const wrong = classes.confusion.filter(({ label, found }) => label !== found).sort((a, b) => b.rows - a.rows).slice(0, 20);
  return [
    { title: 'Classes', header: ['class', 'rows', 'precision', 'recall', 'f1'], rows: classes.classes.map((each) => [classLabel(each), String(each.support), percent(each.precision), percent(each.recall), each.f1.toFixed(4)]) },
    ...(wrong.length > 0 ? [{ title: 'Taken for another', header: ['label', 'found', 'rows'], rows: wrong.map(({ label, found, rows }) => [name.get(label) ?? String(label), name.get(found) ?? 'nothing', String(rows)]) }] : []),
  ];
}

export function embeddingPlot({ output, rows, distances: { lowest, perDecade, counts } }: ComparedEmbedding): string {
  return decadeHistogram({ title: `Embeddings (${output})`, axis: `1 − cosine of each of ${rows} rows (left is better)`, counted: 'rows' }, counts, lowest, lowest + counts.length / perDecade);
}
