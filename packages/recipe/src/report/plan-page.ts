/** The page of a plan: why this layout, what happens when, and what else was looked at. */
import type { Forecast, Measured, PlanResult } from '@penjing/parallel';
import { renderPage } from './page.js';
import { barPlot, format } from './plots.js';
import { timelinePlot } from './timeline-plot.js';

/** Bars of the comparison: the best ones. */
const MOST_BARS = 10;

export function planPage({ plan, timeline, ranked }: PlanResult, date = new Date()): string {
  const { forecast, goal, model, considered = [], devices } = plan;
  const [best] = ranked;
  const tried = ranked.filter((each) => each.measured);
  const refused = considered.filter((each) => !each.forecast);
  const measure = measures[goal];
  const sizes = Object.entries(model.sizes).map(([symbol, size]) => `${symbol}=${size}`).join(', ');
  return renderPage({
    title: `Plan for ${model.name}`,
    lead: `${plan.reasons.join(' ')}${sizes === '' ? '' : ` For ${sizes}.`}`,
    facts: [
      ['layout', best!.name],
      ...(best!.measured ? [[`measured ${goal}`, figure(goal, best!.measured)] as [string, string]] : []),
      ['one request, forecast', milliseconds(forecast.latency)],
      ['requests/s, forecast', format(forecast.throughput)],
      ['most on a device', megabytes(Math.max(...Object.values(forecast.memory)))],
      ['bubble', `${(100 * forecast.bubble).toFixed(0)} %`],
      ['efficiency', `${(100 * forecast.efficiency).toFixed(0)} %`],
      ['weights', megabytes(model.weightBytes)],
    ],
    plots: [
      timelinePlot({ title: 'One request, forecast' }, timeline),
      ...(ranked.length > 1 ? [barPlot({ title: `Layouts by ${goal}${tried.length > 0 ? ' (* measured)' : ''}`, axis: measure.axis, oneColour: true }, ranked.slice(0, MOST_BARS).map(({ name, forecast: each, measured }) => ({ label: `${short(name)}${measured ? ' *' : ''}`, value: measure.value({ ...each, ...measured }), text: format(measure.value({ ...each, ...measured })) })))] : []),
    ],
    tables: [
      {
        title: 'What was considered',
        header: ['layout', ...(tried.length > 0 ? ['measured'] : []), 'one request', 'requests/s', 'most memory', 'bubble'],
        rows: considered.flatMap(({ name, forecast: each, measured }) => (each ? [[name, ...(tried.length > 0 ? [measured ? figure(goal, measured) : '—'] : []), milliseconds(each.latency), format(each.throughput), megabytes(Math.max(...Object.values(each.memory))), `${(100 * each.bubble).toFixed(0)} %`]] : [])),
      },
      ...(refused.length > 0 ? [{ title: 'What was refused', header: ['layout', 'why'], rows: refused.map((each) => [each.name, each.refused ?? '']) }] : []),
      { title: 'Devices', header: ['device', 'host', 'GFLOP/s', 'GB/s', 'memory'], rows: devices.slice(0, 64).map((device) => [device.name, device.host ?? device.name, format(device.flops / 1e9), format(device.memoryBandwidth / 1e9), megabytes(device.memoryBytes)]) },
    ],
    colophon: `Penjing, ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC. A forecast, simulated; ${tried.length === 0 ? 'nothing of the plan has run' : `what is called measured ran on the machine that planned (${tried.length} layouts), nothing else has`}.`,
  });
}

const measures: Readonly<Record<PlanResult['plan']['goal'], { readonly axis: string; readonly value: (forecast: Forecast) => number }>> = {
  latency: { axis: 'ms for one request (less is better)', value: ({ latency }) => 1e3 * latency },
  throughput: { axis: 'requests per second (more is better)', value: ({ throughput }) => throughput },
  memory: { axis: 'MB on the fullest device (less is better)', value: ({ memory }) => Math.max(...Object.values(memory)) / 1e6 },
};

const figure = (goal: PlanResult['plan']['goal'], { latency, throughput }: Measured): string => (goal === 'throughput' ? `${format(throughput ?? NaN)} /s` : milliseconds(latency ?? NaN));

/** A label of a bar has room for some 20 letters. */
function short(name: string): string {
  return name.replace(/^data: (\d+) replicas of (a )?/, '$1 × ').replace(/pipeline of (\d+) of /, 'pipeline $1 × ').replace('pipeline of ', 'pipeline ').replace(/^tasks: (branches on \d+) devices$/, '$1')
    .replace(' with whole experts', ' + experts').replace(' micro-batches', ' pieces').replace(/, whole batches$/, '');
}

const milliseconds = (seconds: number): string => `${format(1e3 * seconds)} ms`;
const megabytes = (bytes: number): string => `${format(bytes / 1e6)} MB`;
