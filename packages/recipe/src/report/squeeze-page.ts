/** The page of a squeeze: the trade of size against loss, what was tried, and what became of each weight. */
import type { WeightLosses } from '@penjing/core/calibrate';
import { smallLoss } from '../squeeze/gate.js';
import { type Candidate, describeChoice } from '../squeeze/kinds.js';
import type { SqueezeResult } from '../squeeze/squeeze-input.js';
import { renderPage, type ReportTable } from './page.js';
import { barPlot, format, shortNames } from './plots.js';
import { tradePlot } from './trade-plot.js';

/** Weights in the plot of what each adds. */
const SHOWN_WEIGHTS = 12;

export function squeezePage(result: SqueezeResult, date = new Date()): string {
  const { heldOut, bytesBefore, bytesAfter, tried, fallbacks, counts } = result;
  const language = heldOut.kind === 'language';
  const unit = language ? 'KL divergence, nats per token' : 'energy of the error over that of the output';
  const short = language ? 'KL' : 'error';
  const size = counts === 'size' ? 'size' : 'without zeros';
  const name = shortNames(result.weights.map((weight) => weight.name));
  const worst = [...result.chosen].filter(({ loss }) => loss > 0).sort((a, b) => b.loss - a.loss).slice(0, SHOWN_WEIGHTS);
  return renderPage({
    title: 'Squeezed',
    lead: `${result.input}${result.output === undefined ? '' : ` → ${result.output}`}: ${goal(result)}. ${verdict(result)}${result.synthetic ? ' The data were random numbers: nothing here means much.' : ''}`,
    facts: [
      [size, `${megabytes(bytesBefore)} → ${megabytes(bytesAfter)}`],
      ['share', percent(bytesAfter / bytesBefore)],
      [`loss of ${result.metric}`, percent(result.loss)],
      ...(heldOut.a.perplexity !== undefined && heldOut.b.perplexity !== undefined ? [['perplexity', `${format(heldOut.a.perplexity)} → ${format(heldOut.b.perplexity)}`] as const] : []),
      ...(heldOut.a.accuracy !== undefined && heldOut.b.accuracy !== undefined ? [['accuracy', `${percent(heldOut.a.accuracy)} → ${percent(heldOut.b.accuracy)}`] as const] : []),
      ...(heldOut.klDivergence !== undefined ? [['klDivergence', format(heldOut.klDivergence)] as const] : []),
      ...(heldOut.topTokenAgreement !== undefined ? [['topTokenAgreement', percent(heldOut.topTokenAgreement)] as const] : []),
      ['snrDb', `${format(heldOut.snrDb)} dB`],
      ['seconds', result.seconds.toFixed(0)],
    ],
    plots: [
      tradePlot({ title: 'Size against loss: predicted (line) and measured', axis: unit, sizes: counts === 'size' ? 'size of the file' : 'size if zeros took no space' }, result.front, [
        ...tried.map((model) => ({ name: model.name, bytes: model.bytes, loss: smallLoss(model.comparison), mark: model.name === 'mixed' ? 2 : 1 })),
        { name: 'held out', bytes: bytesAfter, loss: smallLoss(heldOut), mark: 0 },
      ]),
      ...(worst.length > 0 ? [barPlot({ title: `The ${worst.length} weights that cost most, as they were treated`, axis: `predicted ${unit}`, oneColour: true }, worst.map(({ name: weight, loss }) => ({ label: name(weight), value: loss, text: format(loss) })))] : []),
    ],
    tables: [
      {
        title: 'Models that were tried, on the samples that chose',
        header: ['model', size, 'share', `predicted ${short}`, `measured ${short}`, `loss of ${result.metric}`],
        rows: tried.map(({ name: model, bytes, predicted, comparison, loss }) => [model, megabytes(bytes), percent(bytes / bytesBefore), predicted === undefined ? '—' : format(predicted), format(smallLoss(comparison)), percent(loss)]),
      },
      ...(fallbacks.length > 0 ? [{ title: 'Refused by the held-out samples', header: [size, `loss of ${result.metric}`, 'made better then'], rows: fallbacks.map(({ bytes, loss, weights }) => [megabytes(bytes), percent(loss), weights.map(name).join(', ')]) }] : []),
      ...(result.standard === undefined ? [] : [{ title: 'All weights alike', header: ['model'], rows: [[result.standard]] }]),
      ...(result.chosen.length === 0 ? [] : [{ title: 'What became of each weight', header: ['weight', 'became', size, `predicted ${short}`], rows: result.chosen.map(({ name: weight, method, bytes, loss }) => [name(weight), method === 'none' ? 'left as it was' : method, megabytes(bytes), format(loss)]) }]),
      sensitivityTable(result.weights, name),
    ],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC. Steps: ${JSON.stringify(result.steps)}`,
  });
}

function verdict({ passed, heldOut: { kind, count }, output, written, maxLoss }: SqueezeResult): string {
  const where = `on ${count} held-out ${kind === 'language' ? 'tokens' : 'samples'}`;
  if (passed) return `${maxLoss === undefined ? 'Measured' : 'It passes'} ${where}.`;
  return `It FAILS ${where}${output === undefined ? '' : written ? ', and was written all the same' : ', and was not written'}.`;
}

/** SNR of the layer's output for the best way of each kind. */
function sensitivityTable(weights: readonly WeightLosses<Candidate>[], name: (weight: string) => string): ReportTable {
  const form = (candidate: Candidate): string => (candidate.method === 'palette' || candidate.method === 'sparsegpt' ? describeChoice(candidate) : `int${candidate.bits}`);
  const forms = [...new Set(weights.flatMap(({ candidates }) => candidates.map(({ candidate }) => form(candidate))))];
  return {
    title: 'How well each layer computes at best, treated so (SNR of its output, dB)',
    header: ['weight', 'inputs²', ...forms],
    rows: weights.map(({ name: weight, metric, trace, candidates, note }) => [
      name(weight) + (note === undefined ? '' : ` (${note})`),
      metric === 'hessian' ? format(trace) : '—',
      ...forms.map((key) => {
        const best = Math.max(...candidates.filter(({ candidate }) => form(candidate) === key).map(({ snrDb }) => snrDb));
        return best === -Infinity ? '—' : Number.isFinite(best) ? best.toFixed(1) : '∞';
      }),
    ]),
  };
}

function goal({ targetBytes, maxLoss, metric, counts }: SqueezeResult): string {
  const parts = [
    ...(targetBytes === undefined ? [] : [`at most ${megabytes(targetBytes)}${counts === 'size' ? '' : ' beside zeros'}`]),
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
