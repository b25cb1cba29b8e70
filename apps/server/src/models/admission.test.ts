import { expect, test } from 'vitest';
import { Admission } from './admission.js';

const deferred = (): { readonly promise: Promise<void>; readonly resolve: () => void } => {
  let resolve = (): void => {};
  return { promise: new Promise<void>((done) => (resolve = done)), resolve };
};

test('as many as may run, then the queue, then a refusal that says when to come back', async () => {
  let now = 0;
  const admission = new Admission({ maxConcurrent: 1, maxQueue: 2 }, () => now);
  const first = deferred();
  const order: string[] = [];
  const run = (name: string, work: () => Promise<void> = async () => {}, signal?: AbortSignal) => admission.run(async () => (order.push(name), work()), { signal });
  const a = run('a', () => first.promise);
  const leaving = new AbortController();
  const b = run('b', undefined, leaving.signal);
  const c = run('c');
  expect([admission.active, admission.waiting]).toEqual([1, 2]);
  await expect(run('d')).rejects.toMatchObject({ code: 'E_OVERLOADED', details: { retryAfter: 3 } });
  leaving.abort(new Error('left'));
  await expect(b).rejects.toThrow('left');
  const e = run('e');
  now = 20_000;
  first.resolve();
  await Promise.all([a, c, e]);
  expect(order).toEqual(['a', 'c', 'e']);
  expect([admission.active, admission.waiting]).toEqual([0, 0]);
  // Requests took 20 s, then none.
  expect(admission.retryAfter).toBe(13);
});

test('what fails makes room too', async () => {
  const admission = new Admission({ maxConcurrent: 1, maxQueue: 0 });
  for (let i = 0; i < 3; i++) await expect(admission.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(admission.active).toBe(0);
});
