import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { growth, percentiles, rate, readMetrics, total } from './prometheus.js';
import { linePath, niceTicks } from './scale.js';
import { charts, modelNames, seriesOf } from './series.js';

const first = `# HELP a words
# TYPE penjing_http_requests_total counter
penjing_http_requests_total{route="/v1/chat/completions",method="POST",status="200"} 10
penjing_http_requests_total{route="/v1/chat/completions",method="POST",status="429"} 1
penjing_http_requests_total{route="/metrics",method="GET",status="200"} 500
penjing_http_request_duration_seconds_bucket{le="0.1",route="/v1/chat/completions"} 0
penjing_http_request_duration_seconds_bucket{le="0.2",route="/v1/chat/completions"} 0
penjing_http_request_duration_seconds_bucket{le="+Inf",route="/v1/chat/completions"} 0
penjing_model_ready{model="tiny",version="1"} 1
penjing_model_memory_bytes{model="tiny",version="1"} 2e8
penjing_model_memory_bytes{model="other \\"one\\"\\n",version="1"} 1e8
not a line
`;
const second = first
  .replace('status="200"} 10', 'status="200"} 30')
  .replace('le="0.1",route="/v1/chat/completions"} 0', 'le="0.1",route="/v1/chat/completions"} 10')
  .replace('le="0.2",route="/v1/chat/completions"} 0', 'le="0.2",route="/v1/chat/completions"} 20')
  .replace('le="+Inf",route="/v1/chat/completions"} 0', 'le="+Inf",route="/v1/chat/completions"} 20')
  .replace('GET",status="200"} 500', 'GET",status="200"} 900');
const [a, b] = [readMetrics(first, 1_000), readMetrics(second, 3_000)];

describe('metrics', () => {
  test('are read with their labels', () => {
    expect(total(a, 'penjing_model_memory_bytes')).toBe(3e8);
    expect(a.samples.get('penjing_model_memory_bytes')![1]!.labels).toEqual({ model: 'other "one"\n', version: '1' });
    expect(total(a, 'nothing')).toBeUndefined();
    expect(modelNames(a)).toEqual(['tiny']);
  });

  test('counters give rates, also after the server was started anew', () => {
    expect(rate(a, b, 'penjing_http_requests_total', ({ status, route }) => status === '200' && route !== '/metrics')).toBe(10);
    expect(growth(b, a, 'penjing_http_requests_total', ({ route }) => route === '/metrics')).toBe(500);
  });

  test('histograms give percentiles of what came in between', () => {
    expect(percentiles(a, b, 'penjing_http_request_duration_seconds', [0.25, 0.5, 0.75, 1])).toEqual([0.05, 0.1, expect.closeTo(0.15, 9), 0.2]);
    expect(percentiles(b, b, 'penjing_http_request_duration_seconds', [0.5])).toEqual([undefined]);
  });

  test('anything may come: no text makes them throw', () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom('a', '{', '}', '"', '\\', '=', ',', ' ', '1', '\n', '#') }), (text) => void readMetrics(text, 0)));
  });
});

describe('charts', () => {
  test('show the work of the server, not the reading of this page', () => {
    const [requests] = charts;
    expect(seriesOf(requests!, [a, b], '', (label) => label).map(({ points }) => points.map(({ value }) => value))).toEqual([[10], [0], [0]]);
    const latency = charts.find(({ title }) => title === 'monitor.latency')!;
    expect(seriesOf(latency, [a, b], '', (label) => label)[0]!.points[0]!.value).toBeCloseTo(100);
    const memory = charts.find(({ title }) => title === 'monitor.memory')!;
    expect(seriesOf(memory, [a, b], 'tiny', (label) => label)[0]!.points[0]!.value).toBeCloseTo(200);
  });

  test('have round numbers beside them', () => {
    expect([0, 0.7, 3, 9.5, 100, 1234].map(niceTicks)).toEqual([[0, 0.5, 1], [0, 0.5, 1], [0, 1, 2, 3], [0, 5, 10], [0, 50, 100], [0, 500, 1000, 1500]]);
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e12, noNaN: true }), (max) => {
        const ticks = niceTicks(max);
        expect(ticks.at(-1)).toBeGreaterThanOrEqual(max * (1 - 1e-9));
        expect(ticks.length).toBeLessThanOrEqual(4);
      }),
    );
  });

  test('lines have gaps where there is no value', () => {
    expect(linePath([[0, 1], [1, 2], undefined, [3, 4]])).toBe('M0.0 1.0h0L1.0 2.0M3.0 4.0h0');
  });
});
