/** The number by which stages and fronts of the same plan know each other. */
import { encodeText } from '@penjing/core';
import { crc32 } from '@penjing/graph-io/v2';
import type { Plan } from '../plan/plan.js';

/** Of the model and of where its parts run; forecasts and reasons may differ. */
export function planEpoch({ model: { name, weightBytes }, layout }: Pick<Plan, 'model' | 'layout'>): number {
  return crc32(encodeText(JSON.stringify([name, weightBytes, layout])));
}
