/** The page of a measurement of one model. */
import type { Evaluation, Machine } from '@penjing/runtime';
import { renderPage } from './page.js';
import { format } from './plots.js';
import { classPlots, classTables, lossPlots } from './score-plots.js';

export function evaluationPage(result: Evaluation, machine: Machine, date = new Date()): string {
  const { model, perplexity, accuracy, f1, classes, losses, blocks, count } = result;
  const facts: [string, string][] = [['size', `${(model.bytes / 1e6).toFixed(2)} MB`]];
  if (perplexity !== undefined) facts.push(['perplexity', perplexity.toPrecision(5)], ['loss', `${format(Math.log(perplexity))} nats/token`]);
  if (accuracy !== undefined) facts.push(['accuracy', `${(accuracy * 100).toFixed(2)} %`]);
  if (f1 !== undefined) facts.push(['f1', f1.toFixed(4)]);
  facts.push(['measured in', `${format(result.seconds)} s`]);
  if (blocks !== undefined) facts.push(['run', `layer by layer, in ${blocks} blocks`]);
  return renderPage({
    title: 'Evaluation',
    lead: `${model.name}, on ${count} ${perplexity === undefined ? 'rows' : 'tokens'} (${result.data}).`,
    facts,
    plots: [...(losses ? lossPlots(losses, ['model']) : []), ...classPlots([{ label: 'model', classes }])],
    tables: classTables({ classes }),
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC; ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}.`,
  });
}
