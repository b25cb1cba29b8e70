import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { type Device, providerAttempts } from './device.js';
import { SessionTable } from '../worker/session-table.js';
import { ortEngine } from './ort-engine.js';
import { sessionSettings } from './settings.js';

describe('providerAttempts', () => {
  it('names the provider of a device', () => {
    expect(providerAttempts('directml')).toEqual([['dml']]);
    expect(() => providerAttempts('abacus' as Device)).toThrow(/there is no device abacus/);
  });

  it('tries what a machine has, and the processor last', () => {
    expect(providerAttempts('auto', { platform: 'linux', exists: () => false })).toEqual([['cpu']]);
    expect(providerAttempts('auto', { platform: 'linux', exists: (path) => path === '/dev/nvidiactl' })).toEqual([['cuda'], ['cpu']]);
    expect(providerAttempts('auto', { platform: 'win32', exists: () => false })).toEqual([['cuda'], ['dml'], ['cpu']]);
    expect(providerAttempts('auto', { platform: 'aix', exists: () => true })).toEqual([['cpu']]);
  });
});

describe('a device that is not there', () => {
  it.each([
    ['coreml', /macOS/],
    ['directml', /Windows/],
  ] as const)('%s: says where there is one', async (device, hint) => {
    if (process.platform !== 'linux') return;
    await expect(ortEngine({ device }).load(tinyDecoder())).rejects.toMatchObject({ code: 'E_PROVIDER', hint: expect.stringMatching(hint) as string });
  });

  it('goes on to the next one, in the same load', async () => {
    const sessions = new SessionTable(ort, { pass: (call) => call() });
    const [file] = serializeOnnx(tinyDecoder(), { externalData: 'never' });
    const bytes = (await layoutToBytes(file!)).slice().buffer;
    const { outputs } = await sessions.open({ kind: 'memory', bytes, externalData: [] }, { ...sessionSettings({ threads: 1 }, { bytes: 0, quantized: false, byPath: false }), attempts: [['abacus'], ['cpu']] });
    expect(outputs[0]).toMatchObject({ name: 'logits' });
    await sessions.closeAll();
  });
});
