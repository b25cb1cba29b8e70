/** How the server is doing, as charts of the last minutes. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { ApiError } from '../api/api-error.js';
import { LineChart } from '../charts/line-chart.js';
import { charts, modelNames, seriesOf } from '../charts/series.js';
import { EVERY, paused, readings, readingsError, SPAN, startReadings } from '../state/readings.js';
import { isTextKey, say } from '../text/text.js';
import { Icon } from '../ui/icons.js';
import { Notice } from '../ui/notice.js';

const SHORTEST = 60_000;

/** Empty for all models. */
const model = signal('');

export function MonitorView(): JSX.Element {
  useEffect(startReadings, []);
  const list = readings.value;
  const names = modelNames(list.at(-1));
  // Lines of the first minute would be a dot at the edge of five.
  const span = Math.min(SPAN, Math.max(SHORTEST, (list.at(-1)?.time ?? 0) - (list[0]?.time ?? 0)));
  const error = readingsError.value;
  const isAbsent = error instanceof ApiError && error.status === 404;
  return (
    <div class="stack">
      <div class="row spread">
        <h1>{say('monitor.title')}</h1>
        <div class="row">
          <label class="filter">
            <span class="hidden-visually">{say('monitor.model')}</span>
            <select value={model.value} onChange={({ currentTarget }) => (model.value = currentTarget.value)}>
              <option value="">{say('monitor.all')}</option>
              {names.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <button type="button" class="button" aria-pressed={paused.value} onClick={() => (paused.value = !paused.value)}>
            <Icon name={paused.value ? 'play' : 'pause'} />
            {say(paused.value ? 'monitor.resume' : 'monitor.pause')}
          </button>
        </div>
      </div>
      {isAbsent ? (
        <div class="card empty">
          <strong>{say('monitor.unavailable')}</strong>
          <span>{say('monitor.unavailable.hint')}</span>
        </div>
      ) : (
        error !== undefined && <Notice error={error} />
      )}
      {!isAbsent && (
        <>
          <div class="charts">
            {charts.map((chart) => (
              <LineChart key={chart.title} title={say(chart.title)} unit={`${say(chart.unit)}${chart.whole && model.value !== '' ? ` · ${say('monitor.all')}` : ''}`} span={span} series={seriesOf(chart, list, model.value, (label) => (isTextKey(label) ? say(label) : label))} />
            ))}
          </div>
          <p class="soft small">{list.length < 2 && error === undefined ? say('monitor.waiting') : say('monitor.window', { n: SPAN / 60_000, s: EVERY / 1000 })}</p>
        </>
      )}
    </div>
  );
}
