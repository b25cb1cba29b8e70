/** The page of a comparison: sizes, error per layer and per weight, outputs. */
import type { Machine } from '@penjing/runtime';
import type { InputComparison } from '../input-comparison.js';
import { renderPage, type ReportTable } from './page.js';
import { barPlot, decadeHistogram, format, pointPlot } from './plots.js';
import { classPlots, classTables, embeddingPlot, lossPlots } from './score-plots.js';

export function comparisonPage(result: InputComparison, machine: Machine, date = new Date()): string {
  const { a, b, layers } = result;
  const weights = result.weights.filter((record) => record.snrDb !== undefined);
  const facts: [string, string][] = [['size', `${(result.sizeRatio * 100).toFixed(1)} %`]];
  if (a.perplexity !== undefined && b.perplexity !== undefined) {
    facts.push(['perplexity', `${a.perplexity.toFixed(3)} → ${b.perplexity.toFixed(3)} (${signed((b.perplexity / a.perplexity - 1) * 100)} %)`]);
  }
  if (result.klDivergence !== undefined) facts.push(['klDivergence', `${format(result.klDivergence)} nats/token`]);
  if (result.topTokenAgreement !== undefined) facts.push(['topTokenAgreement', `${(result.topTokenAgreement * 100).toFixed(2)} %`]);
  if (a.accuracy !== undefined && b.accuracy !== undefined) facts.push(['accuracy', `${(a.accuracy * 100).toFixed(2)} → ${(b.accuracy * 100).toFixed(2)} %`]);
  if (a.f1 !== undefined && b.f1 !== undefined) facts.push(['f1', `${a.f1.toFixed(4)} → ${b.f1.toFixed(4)}`]);
  if (result.topClassAgreement !== undefined) facts.push(['topClassAgreement', `${(result.topClassAgreement * 100).toFixed(2)} %`]);
  if (result.embeddingCosine !== undefined) facts.push(['embeddingCosine', result.embeddingCosine.toFixed(6)]);
  facts.push(['snrDb', `${format(result.snrDb)} dB`], ['maxError', format(result.maxError)]);

  const plots = [
    barPlot({ title: 'Size', axis: 'bytes of the graph and its weights' }, [a, b].map(({ name, bytes }) => ({ label: name.replace(/^.*\/(?=[^/]+\/onnx\/|[^/]+$)/, ''), value: bytes, text: megabytes(bytes) }))),
  ];
  if (result.losses) plots.push(...lossPlots(result.losses, ['reference', 'model']));
  plots.push(...classPlots([{ label: 'reference', classes: a.classes }, { label: 'model', classes: b.classes }]));
  if (result.embedding) plots.push(embeddingPlot(result.embedding));
  if (layers.length > 0) {
    plots.push(pointPlot({ title: 'Error along the layers', axis: 'SNR of the activations at the end of each block, dB (higher is better)' }, layers.map(({ name, snrDb }) => ({ label: name, value: snrDb }))));
  }
  if (weights.length > 0) {
    plots.push(pointPlot({ title: 'Error of each weight', axis: 'SNR of the weight, dB (higher is better)' }, weights.map((record) => ({ label: record.name, value: record.snrDb! }))));
  }
  if (result.klHistogram) {
    const { lowest, perDecade, counts } = result.klHistogram;
    plots.push(decadeHistogram({ title: 'Outputs: how far each prediction moved', axis: 'KL divergence of one token, nats (left is better)' }, counts, lowest, lowest + counts.length / perDecade));
  } else plots.push(barPlot({ title: 'Outputs', axis: 'SNR of each output, dB (higher is better)' }, result.outputs.slice(0, 24).map(({ name, snrDb }) => ({ label: name, value: Math.min(snrDb, 200), text: `${format(snrDb)} dB` }))));

  return renderPage({
    title: 'Comparison',
    lead: `${b.name} against ${a.name}, on ${result.count} ${result.kind === 'language' ? 'tokens' : 'samples'} (${result.data}).`,
    facts,
    plots,
    tables: [outputTable(result), ...classTables(b), ...(layers.length > 0 ? [layerTable(result)] : []), ...(weights.length > 0 ? [weightTable(result)] : [])],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC; ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}.`,
  });
}

function outputTable({ outputs }: InputComparison): ReportTable {
  const rows = outputs.map(({ name, snrDb, maxError, elements }) => [name, format(snrDb), format(maxError), String(elements)]);
  return { title: 'Outputs', header: ['output', 'snrDb', 'maxError', 'elements'], rows };
}

function layerTable({ layers }: InputComparison): ReportTable {
  return { title: 'Layers', header: ['value', 'snrDb', 'maxError'], rows: layers.map(({ name, snrDb, maxError }) => [name, format(snrDb), format(maxError)]) };
}

function weightTable({ weights }: InputComparison): ReportTable {
  const rows = weights.map((record) => [
    record.name, record.method, String(record.elements), megabytes(record.bytesBefore), megabytes(record.bytesAfter),
    record.snrDb === undefined ? '—' : format(record.snrDb), record.maxError === undefined ? '—' : format(record.maxError),
  ]);
  return { title: 'Weights', header: ['weight', 'method', 'elements', 'before', 'after', 'snrDb', 'maxError'], rows };
}

function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

function signed(value: number): string {
  return `${value >= 0 ? '+' : ''}${value.toFixed(2)}`;
}
