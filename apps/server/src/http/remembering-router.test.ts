/** What is remembered is what the router finds, however many paths are made up. */
import { expect, test } from 'vitest';
import { RememberingRouter } from './remembering-router.js';

test('finds the same again, and forgets what clients make up', () => {
  const router = new RememberingRouter<string>();
  router.add('ALL', '/*', 'all');
  router.add('GET', '/models/:name', 'model');
  router.add('POST', '/models/:name', 'load');
  router.add('GET', '/models/stats', 'stats');
  const handlers = (method: string, path: string): string[] => router.match(method, path)[0].map(([handler]) => handler);
  const first = router.match('GET', '/models/a');
  expect(router.match('GET', '/models/a')).toBe(first);
  expect([handlers('GET', '/models/a'), handlers('POST', '/models/a'), handlers('GET', '/models/stats'), handlers('GET', '/x')]).toEqual([['all', 'model'], ['all', 'load'], ['all', 'model', 'stats'], ['all']]);
  for (let i = 0; i < 1000; i++) expect(handlers('GET', `/models/${i}`)).toEqual(['all', 'model']);
  const long = `/models/${'x'.repeat(1000)}`;
  expect(handlers('GET', long)).toEqual(['all', 'model']);
  expect(router.match('GET', '/models/a')).not.toBe(first);
  expect(router.match('GET', '/models/a')).toEqual(first);
});
