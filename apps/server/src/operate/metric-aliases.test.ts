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

test('what the variants of a ladder answered counts for their model, and one that is cold on purpose is not told as down', { timeout: 20_000 }, async () => {
  opened = await doubling({ metricAliases: ['nv'], models: [{ name: 'double', path: '/double', maxQueue: 1, batching: { enabled: 'off', lanes: 1 }, ladder: [{ variant: 'q8' }, { variant: 'q4' }] }] });
  const [, q8] = opened.server.models.ladderOf(opened.server.models.get('double'))!.rungs;
  await q8!.load();
  const release = opened.hold();
  const ask = (): Promise<Response> => opened.server.fetch(new Request('http://localhost/v2/models/double/infer', { method: 'POST', body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] }) }));
  const replies = [ask()];
  await expect.poll(() => opened.runs.length).toBe(1);
  replies.push(ask());
  await expect.poll(async () => (await numbers(opened)).get('nv_inference_pending_request_count{model="double",version="1"}')).toBe(1);
  replies.push(ask());
  await expect.poll(() => opened.runs.length).toBe(2);
  release();
  expect((await Promise.all(replies)).map(({ headers }) => headers.get('x-penjing-variant'))).toEqual(['fp32', 'fp32', 'q8']);
  const told = await numbers(opened);
  expect([told.get('nv_inference_request_success{model="double",version="1"}'), told.get('nv_inference_exec_count{model="double",version="1"}')]).toEqual([3, 3]);
  const stats: unknown = await (await opened.server.fetch(new Request('http://localhost/v2/models/double/stats'))).json();
  expect(stats).toMatchObject({ model_stats: [{ inference_count: 3, inference_stats: { success: { count: 3 } }, batch_stats: [{ batch_size: 1, compute_infer: { count: 3 } }] }] });
  expect(['fp32', 'q8', 'q4'].map((variant) => told.get(`penjing_model_ready{model="double",version="1",variant="${variant}"}`))).toEqual([1, 1, undefined]);
});

test('nobody gets them who has not asked', async () => {
  opened = await doubling();
  expect([...(await numbers(opened)).keys()].filter((name) => !name.startsWith('penjing_'))).toEqual([]);
});
