import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { createServer } from '../create-server.js';

test('the charts of the page read metrics that the server has', async () => {
  await using server = createServer({ port: 0, log: { level: 'silent' } });
  const exposed = await (await server.fetch(new Request('http://localhost/metrics'))).text();
  const charts = await readFile(new URL('../../web/src/charts/series.ts', import.meta.url), 'utf8');
  const names = [...charts.matchAll(/'(penjing_\w+)'/g)].map(([, name]) => name!);
  expect(names.length).toBeGreaterThan(6);
  for (const name of names) expect(exposed).toContain(`# TYPE ${name} `);
});
