/** Configurations of every recorded encoder with a field changed to anything: a model, or an error that says what is wrong. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PenjingError } from '@penjing/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { convertHuggingFaceGraphs } from './convert.js';
import { isObject, type JsonObject } from './folder.js';
import { openHuggingFaceFolder } from './open.js';
import { memoryFolder } from './testing/tiny-llama.js';

const fixtures = fileURLToPath(new URL('../../../../tests/fixtures/encoders', import.meta.url));
const names = existsSync(fixtures) ? readdirSync(fixtures).filter((name) => existsSync(join(fixtures, name, 'config.json'))) : [];
const cases = names.map((name) => ({
  config: JSON.parse(readFileSync(join(fixtures, name, 'config.json'), 'utf8')) as JsonObject,
  weights: new Uint8Array(readFileSync(join(fixtures, name, 'model.safetensors'))),
}));

/** What configs of other makers hold, and what nobody's should. */
const anything = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1, 2, 3, 1.5, 1e-300, 1e300, 2 ** 14, 2 ** 26, 2 ** 31, 2 ** 53, '', 'c2p', 'gelu', '__proto__', [], [1], {}, [[]]),
  fc.jsonValue({ maxDepth: 2 }),
);

/** The same config with the field at `path`, as a number of its fields, replaced. */
function changed(config: JsonObject, at: number, value: unknown): JsonObject {
  const paths = Object.entries(config).flatMap(([key, inner]) => [[key], ...(isObject(inner) ? Object.keys(inner).map((name) => [key, name]) : [])]);
  const [key, name] = paths[at % paths.length]!;
  return name === undefined ? { ...config, [key!]: value } : { ...config, [key!]: { ...(config[key!] as JsonObject), [name]: value } };
}

test.runIf(cases.length > 0)('a changed field is understood or named', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(1000), fc.nat(1000), anything, async (which, at, value) => {
      const { config, weights } = cases[which % cases.length]!;
      const folder = memoryFolder({ 'config.json': changed(config, at, value), 'model.safetensors': weights });
      const start = performance.now();
      try {
        const graphs = await convertHuggingFaceGraphs(await openHuggingFaceFolder(folder));
        expect(graphs.size).toBeGreaterThan(0);
      } catch (error) {
        if (!(error instanceof PenjingError)) throw error;
      }
      expect(performance.now() - start).toBeLessThan(5_000);
    }),
    { numRuns: 600 },
  );
});
