/** What `penjing serve` says of models that cannot be loaded: it names them, serves the others of a repository, and ends for one that was named. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPenjing } from './support/penjing-process.js';
import { endServed, serve } from './support/served.js';
import { doublingModel, writeModel } from './support/served-models.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-starts-'));
  for (const name of ['bad', 'good']) await mkdir(join(folder, 'repository', name), { recursive: true });
  await writeFile(join(folder, 'repository/bad/serve.json'), '{');
  await writeModel(join(folder, 'repository/good/model.onnx'), doublingModel());
  await writeFile(join(folder, 'broken.onnx'), 'no model');
});
afterAll(() => rm(folder, { recursive: true }));

test('the rest of a repository is served', async () => {
  const server = await serve(['--repository', join(folder, 'repository')]);
  expect((await fetch(`${server.url}/v2/models/good/ready`)).status).toBe(200);
  await endServed(server);
  const { stderr } = await server.ended;
  expect(stderr).toMatch(/^not served: bad: .*serve\.json/m);
  expect(stderr).toMatch(/^ready: good$/m);
});

test('one that was named ends it, by its name', async () => {
  const { code, stderr } = await startPenjing(['serve', join(folder, 'broken.onnx'), '--repository', join(folder, 'repository'), '--port', '0']).ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^not served: broken: /m);
  expect(stderr).toContain('ModelProto');
  expect(stderr).not.toMatch(/^ready: /m);
});
