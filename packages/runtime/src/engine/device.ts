/** Where a model runs, by the names that users know, and what of ONNX Runtime that is. */
import { existsSync } from 'node:fs';
import { platform } from 'node:os';
import { PenjingError } from '@penjing/core';

/** Execution providers by device, as onnxruntime-node 1.30 names them. */
const providers = { cpu: 'cpu', webgpu: 'webgpu', cuda: 'cuda', directml: 'dml', coreml: 'coreml' } as const;

type NamedDevice = keyof typeof providers;

export type Device = NamedDevice | 'auto';

/** The names of devices, 'auto' at the end. */
export const deviceNames: readonly Device[] = [...(Object.keys(providers) as NamedDevice[]), 'auto'];

/** What 'auto' tries before the processor. CoreML takes few operators of language models, so a Mac's graphics processor is reached by WebGPU. */
const preferred: Readonly<Partial<Record<NodeJS.Platform, readonly NamedDevice[]>>> = { linux: ['cuda', 'webgpu'], win32: ['cuda', 'directml'], darwin: ['webgpu'] };

/** Device files of Linux, without which trying only prints complaints of the drivers that are not there. */
const deviceFiles: Readonly<Partial<Record<NamedDevice, string>>> = { cuda: '/dev/nvidiactl', webgpu: '/dev/dri' };

export interface Surroundings {
  readonly platform: NodeJS.Platform;
  readonly exists: (path: string) => boolean;
}

/** Lists of execution providers, each to be tried only where the one before it is not to be had. Throws `E_OPTION` for a name that no device has. */
export function providerAttempts(device: Device, { platform: system, exists }: Surroundings = { platform: platform(), exists: existsSync }): readonly (readonly string[])[] {
  if (!deviceNames.includes(device)) throw new PenjingError('E_OPTION', `there is no device ${device}`, { hint: `There are ${deviceNames.join(', ')}.` });
  if (device !== 'auto') return [[providers[device]]];
  const there = (name: NamedDevice): boolean => system !== 'linux' || deviceFiles[name] === undefined || exists(deviceFiles[name]);
  return [...(preferred[system] ?? []).filter(there), 'cpu' as const].map((name) => [providers[name]]);
}
