/** Which servers are warned of. */
import { expect, it } from 'vitest';
import { isAboveFloor } from './server-version.js';

it.each([
  ['2.9.10', false], ['2.10.29', false], ['2.11.15', false], ['2.11.16', true], ['2.11.20', true], ['2.12.6', false], ['2.12.7', true],
  ['2.13.9', false], ['2.14.0', true], ['2.14.0-preview.1', false], ['v2.15.3', true], ['3.0.0', true], ['2.14', false], ['dev', false],
])('%s is good enough: %s', (version, good) => {
  expect(isAboveFloor(version)).toBe(good);
});
