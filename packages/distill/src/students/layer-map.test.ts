/** Maps of layers, against those that published students were made with. */
import { expect, test } from 'vitest';
import { checkLayers, chooseLayers, layerMap } from './layer-map.js';

test('evenly spaced layers are those of DistilBERT', () => {
  expect(chooseLayers(12, 6)).toEqual([0, 2, 4, 7, 9, 11]);
  expect(layerMap('half', 12)).toEqual([0, 2, 4, 7, 9, 11]);
  expect(layerMap('half', 4)).toEqual([0, 3]);
  expect(layerMap('third', 2)).toEqual([0]);
  for (let of = 1; of < 40; of++) for (let count = 1; count <= of; count++) {
    const layers = chooseLayers(of, count);
    expect(layers).toHaveLength(count);
    checkLayers(layers, of);
  }
});

test.each([
  ['first:3', [0, 1, 2]],
  ['outer:half', [0, 1, 2, 3, 4, 11]],
  ['outer:1', [11]],
  ['3', [0, 6, 11]],
  ['0,2,4', [0, 2, 4]],
  ['12:7', [7]],
])('%s', (text, layers) => {
  expect(layerMap(text, 12)).toEqual(layers);
});

test.each([['', 'no map'], ['13', '13 of 12'], ['first:', 'no map'], ['outer:0', '0 of 12'], ['6:0,2', 'is for 6 layers'], ['even:0,2', 'no map'], ['-1', 'no map'], ['0;2', 'no map'], ['1e9', 'no map']])('%s is refused', (text, message) => {
  expect(() => layerMap(text, 12)).toThrow(expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining(message) as string }) as Error);
});

test.each([[[]], [[1, 1]], [[2, 1]], [[12]], [[0.5]]])('layers %j are refused', (keep) => {
  expect(() => checkLayers(keep, 12)).toThrow(expect.objectContaining({ code: 'E_OPTION' }) as Error);
});
