/** The page of a squeeze: the trade of size against loss, what was tried, and what became of each weight. */
import type { WeightLosses } from '@penjing/core/calibrate';
import { smallLoss } from '../squeeze/gate.js';
import { type Candidate, describeChoice } from '../squeeze/kinds.js';
import type { SqueezeResult } from '../squeeze/squeeze-input.js';
import { renderPage, type ReportTable } from './page.js';
import { format, pointPlot } from './plots.js';
import { tradePlot } from './trade-plot.js';

export function squeezePage(result: SqueezeResult, date = new Date()): string {
  const { heldOut, bytesBefore, bytesAfter, tried, fallbacks } = result;
  const language = heldOut.kind === 'language';
  const unit = language ? 'KL divergence, nats per token' : 'energy of the error over that of the worst output';
  const chosen = result.chosen.filter(({ loss }) => loss > 0);
  return renderPage({
    title: 'Squeezed',
    lead: `${result.input}${result.output === undefined ? '' : ` → ${result.output}`}: ${goal(result)}. ${result.passed ? 'It passes' : 'It does not pass'} on ${heldOut.count} held-out ${language ? 'tokens' : 'samples'}.`,
    facts: [
      ['size', `${megabytes(bytesBefore)} → ${megabytes(bytesAfter)} (${percent(bytesAfter / bytesBefore)})`],
      [`loss of ${result.metric}`, percent(result.loss)],
      ...(heldOut.a.perplexity !== undefined && heldOut.b.perplexity !== undefined ? [['perplexity', `${format(heldOut.a.perplexity)} → ${format(heldOut.b.perplexity)}`] as const] : []),
      ...(heldOut.a.accuracy !== undefined && heldOut.b.accuracy !== undefined ? [['accuracy', `${percent(heldOut.a.accuracy)} → ${percent(heldOut.b.accuracy)}`] as const] : []),
      ...(heldOut.klDivergence !== undefined ? [['klDivergence', `${format(heldOut.klDivergence)} nats/token`] as const] : []),
      ...(heldOut.topTokenAgreement !== undefined ? [['topTokenAgreement', percent(heldOut.topTokenAgreement)] as const] : []),
      ['snrDb', `${format(heldOut.snrDb)} dB`],
      ['seconds', result.seconds.toFixed(0)],
    ],
    plots: [
      tradePlot({ title: 'Size against loss', axis: `${unit} (line: predicted; points: measured)` }, result.front, [
        ...tried.map(({ name, bytes, comparison }) => ({ name, bytes, loss: smallLoss(comparison), mark: name === 'mixed' ? 2 : 1 })),
        { name: 'held out', bytes: bytesAfter, loss: smallLoss(heldOut), mark: 0 },
      ]),
      ...(chosen.length > 0 ? [pointPlot({ title: 'What each weight adds', axis: `predicted ${unit}, as it was rounded` }, chosen.map(({ name, loss }) => ({ label: name, value: loss })))] : []),
    ],
    tables: [
      {
        title: 'Models that were tried',
        header: ['model', 'size', 'share', 'predicted', 'measured', `loss of ${result.metric}`],
        rows: tried.map(({ name, bytes, predicted, comparison, loss }) => [name, megabytes(bytes), percent(bytes / bytesBefore), predicted === undefined ? '—' : format(predicted), format(smallLoss(comparison)), percent(loss)]),
      },
      ...(fallbacks.length > 0 ? [{ title: 'Refused by the held-out samples', header: ['size', `loss of ${result.metric}`, 'made better then'], rows: fallbacks.map(({ bytes, loss, weights }) => [megabytes(bytes), percent(loss), weights.join(', ')]) }] : []),
      ...(result.standard === undefined ? [] : [{ title: 'All weights alike', header: ['model'], rows: [[result.standard]] }]),
      { title: 'What became of each weight', header: ['weight', 'method', 'size', 'predicted loss'], rows: result.chosen.map(({ name, method, bytes, loss }) => [name, method, megabytes(bytes), format(loss)]) },
      sensitivityTable(result.weights),
    ],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC. Steps: ${JSON.stringify(result.steps)}`,
  });
}

/** SNR of the layer's output by candidate. */
function sensitivityTable(weights: readonly WeightLosses<Candidate>[]): ReportTable {
  const candidates = [...new Map(weights.flatMap((weight) => weight.candidates.map(({ candidate }) => [describeChoice(candidate), candidate] as const))).keys()];
  return {
    title: 'Sensitivity: SNR of what each layer computes, dB',
    header: ['weight', 'metric', 'trace', ...candidates],
    rows: weights.map(({ name, metric, trace, candidates: found }) => [
      name, metric, format(trace),
      ...candidates.map((key) => {
        const one = found.find(({ candidate }) => describeChoice(candidate) === key);
        return one ? one.snrDb.toFixed(1) : '—';
      }),
    ]),
  };
}

function goal({ targetBytes, maxLoss, metric }: SqueezeResult): string {
  const parts = [
    ...(targetBytes === undefined ? [] : [`at most ${megabytes(targetBytes)}`]),
    ...(maxLoss === undefined ? [] : [`at most ${percent(maxLoss)} of ${metric} lost`]),
  ];
  return parts.join(', ');
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(2)} %` : format(share);
}

function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}
