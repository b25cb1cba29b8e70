/** A small chart of lines over time: SVG for the drawing, words and a table for those who do not see it. */
import type { JSX, TargetedKeyboardEvent, TargetedPointerEvent } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { say, sayNumber } from '../text/text.js';
import { linePath, niceTicks } from './scale.js';
import type { Series } from './series.js';

interface LineChartProps {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly Series[];
  /** Milliseconds that the chart shows, up to the last reading. */
  readonly span: number;
}

const HEIGHT = 132;
const LEFT = 44;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 18;
const ROWS = 12;

const steps: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1 };

export function LineChart({ title, unit, series, span }: LineChartProps): JSX.Element {
  const [box, width] = useWidth();
  const [at, setAt] = useState<number | undefined>(undefined);
  const times = series[0]?.points.map(({ time }) => time) ?? [];
  const end = times.at(-1) ?? Date.now();
  const values = series.flatMap(({ points }) => points.map(({ value }) => value ?? 0));
  const ticks = niceTicks(Math.max(...values, 0));
  const x = (time: number): number => LEFT + (width - LEFT - RIGHT) * (1 - (end - time) / span);
  const y = (value: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / ticks.at(-1)!);
  const index = at === undefined ? times.length - 1 : Math.min(at, times.length - 1);
  const valueAt = ({ points }: Series): string => {
    const value = points[index]?.value;
    return value === undefined ? '–' : sayNumber(value);
  };
  const hasData = series.some(({ points }) => points.some(({ value }) => value !== undefined));

  const point = ({ clientX, currentTarget }: TargetedPointerEvent<SVGSVGElement>): void => {
    const { left } = currentTarget.getBoundingClientRect();
    const near = times.reduce((best, time, i) => (Math.abs(x(time) - (clientX - left)) < Math.abs(x(times[best]!) - (clientX - left)) ? i : best), 0);
    if (times.length > 0) setAt(near);
  };
  const keyDown = (event: TargetedKeyboardEvent<SVGSVGElement>): void => {
    const step = steps[event.key];
    if (step === undefined || times.length === 0) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(times.length - 1, index + step)));
  };

  const spoken = say('monitor.chart', { title, unit, values: series.map((one) => `${one.label} ${valueAt(one)}`).join(', ') });
  return (
    <figure class="chart card">
      <figcaption>
        <h2>
          {title} <span class="soft">{unit}</span>
        </h2>
        <ul class="legend">
          {series.map((one, i) => (
            <li key={one.label}>
              <span class={`key l${i}`} aria-hidden="true" />
              {one.label} <strong>{valueAt(one)}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <div class="plot" ref={box}>
        <svg width={width} height={HEIGHT} role="img" aria-label={spoken} tabIndex={0} onPointerMove={point} onPointerLeave={() => setAt(undefined)} onKeyDown={keyDown} onBlur={() => setAt(undefined)}>
          {ticks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
              <text class="tick" x={LEFT - 6} y={y(tick) + 4} text-anchor="end">
                {sayNumber(tick)}
              </text>
            </g>
          ))}
          <text class="tick" x={LEFT} y={HEIGHT - 3}>
            −{say('common.seconds', { n: Math.round(span / 1000) })}
          </text>
          <text class="tick" x={width - RIGHT} y={HEIGHT - 3} text-anchor="end">
            {at === undefined || !times[index] ? say('monitor.now') : say('monitor.ago', { n: Math.round((end - times[index]) / 1000) })}
          </text>
          {series.map(({ label, points }, i) => (
            <path key={label} class={`line l${i}`} d={linePath(points.map(({ time, value }) => (value === undefined ? undefined : [x(time), y(value)])))} />
          ))}
          {at !== undefined && times[index] !== undefined && <line class="cross" x1={x(times[index])} x2={x(times[index])} y1={TOP} y2={HEIGHT - BOTTOM} />}
        </svg>
        {!hasData && (
          <span class="none soft">
            <span>{say('monitor.noData')}</span>
          </span>
        )}
      </div>
      <details>
        <summary>{say('monitor.table')}</summary>
        <ChartTable series={series} times={times} end={end} />
      </details>
    </figure>
  );
}

function ChartTable({ series, times, end }: { readonly series: readonly Series[]; readonly times: readonly number[]; readonly end: number }): JSX.Element {
  const rows = times.map((time, i) => ({ time, i })).slice(-ROWS).reverse();
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{say('monitor.time')}</th>
          {series.map(({ label }) => (
            <th key={label} scope="col" class="number">
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ time, i }) => (
          <tr key={time}>
            <th scope="row">{say('monitor.ago', { n: Math.round((end - time) / 1000) })}</th>
            {series.map(({ label, points }) => (
              <td key={label} class="number">
                {points[i]?.value === undefined ? '–' : sayNumber(points[i].value)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The width that there is: text in a drawing that is stretched would be stretched too. */
function useWidth(): [{ current: HTMLDivElement | null }, number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(320);
  useLayoutEffect(() => {
    const { current } = box;
    if (!current) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.max(200, current.clientWidth)));
    observer.observe(current);
    setWidth(Math.max(200, current.clientWidth));
    return () => observer.disconnect();
  }, []);
  return [box, width];
}
