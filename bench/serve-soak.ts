/**
 * Twice what a server can take, for as long as is asked: counts of answers, latency of the probe, and the slope of the memory of all its processes.
 *
 *     node --import tsx --conditions=@penjing/source bench/serve-soak.ts [--seconds 1800] [--factor 2]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { overload } from '../tests/support/overload.js';
import { spinningModel, writeModel } from '../tests/support/served-models.js';
import { endServed, serve } from '../tests/support/served.js';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '1800' }, factor: { type: 'string', default: '2' } } });
const milliseconds = Number(values.seconds) * 1000;
const folder = await mkdtemp(join(tmpdir(), 'penjing-soak-'));
try {
  const model = await writeModel(join(folder, 'spin.onnx'), spinningModel());
  const server = await serve([`spin=${model}`, '--threads', '1', '--max-queue', '32', '--log-level', 'fatal'], { milliseconds: milliseconds + 600_000 });
  try {
    const { samples, ...result } = await overload({
      url: server.url, pid: server.process.pid!, model: 'spin', milliseconds, factor: Number(values.factor),
      onSample: ({ seconds, bytes }) => console.error(`${seconds.toFixed(0)} s: ${(bytes / 2 ** 20).toFixed(1)} MiB`),
    });
    const mebibytes = samples.map(({ bytes }) => bytes / 2 ** 20);
    console.log(JSON.stringify({ cpu: cpus()[0]?.model, node: process.version, seconds: Number(values.seconds), factor: Number(values.factor), ...result, mebibytes: { first: mebibytes[0], last: mebibytes.at(-1), most: Math.max(...mebibytes) }, mebibytesPerHour: result.slope / 2 ** 20 }, undefined, 2));
  } finally {
    await endServed(server);
  }
} finally {
  await rm(folder, { recursive: true });
}
