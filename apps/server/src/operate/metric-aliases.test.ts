import { afterEach, expect, test } from 'vitest';
import { doubling, type Doubling } from '../v2/testing/doubling.js';

let opened: Doubling;
afterEach(() => opened.server.close());

const numbers = async ({ server }: Doubling): Promise<ReadonlyMap<string, number>> => {
  const text = await (await server.fetch(new Request('http://localhost/metrics'))).text();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  // Each series once, and a type for each family, as Prometheus wants it.
  expect(new Set(lines.map((line) => line.replace(/ \S+$/, ''))).size).toBe(lines.length);
  const types = text.split('\n').filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
  expect(new Set(types).size).toBe(types.length);
  return new Map(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.split(' ').at(-1))]));
};

test('the same numbers by the names of Triton and vLLM, where they are asked for', async () => {
  opened = await doubling({ metricAliases: ['nv', 'vllm'] });
  const ask = (data: number[]): Promise<Response> =>
    opened.server.fetch(new Request('http://localhost/v2/models/double/infer', { method: 'POST', body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2], data }] }) }));
  for (const data of [[1, 2, 3, 4], [5, 6, 7, 8], [666, 0, 0, 0]]) await ask(data);
  const told = await numbers(opened);
  const of = (name: string, more = ''): number | undefined => told.get(`${name}{model="double",version="1"${more}}`);
  expect([of('nv_inference_request_success'), of('nv_inference_request_failure', ',reason="OTHER"'), of('nv_inference_count'), of('nv_inference_exec_count'), of('nv_inference_pending_request_count')]).toEqual([2, 1, 4, 2, 0]);
  expect(of('nv_inference_compute_infer_duration_us')).toBe(500);
  expect(told.get('vllm:num_requests_running{model_name="double",version="1"}')).toBe(0);
  expect(told.get('vllm:request_queue_time_seconds_count{model_name="double"}')).toBe(2);
  expect(told.get('vllm:request_queue_time_seconds_bucket{le="+Inf",model_name="double"}')).toBe(2);
  expect(told.get('penjing_queue_duration_seconds_count{model="double"}')).toBe(2);
});

test('nobody gets them who has not asked', async () => {
  opened = await doubling();
  expect([...(await numbers(opened)).keys()].filter((name) => !name.startsWith('penjing_'))).toEqual([]);
});
