/** Reads a plan that is to be deployed. */
import { readFile } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';
import { readPlan } from '@penjing/parallel';
import type { DeployedPlan } from './deployment.js';

/** Throws `E_NOT_FOUND`, `E_LIMIT` and `E_PLAN`. */
export async function readDeployedPlan(path: string): Promise<DeployedPlan> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { hint: 'Make a plan: `penjing plan`.', cause });
  });
  return { plan: readPlan(text, path), text };
}
