/** What a variant lost, from the record that `penjing compare --json > MODEL/reports/VARIANT.json` leaves in a model's folder. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { reportFolder } from '../page/reports.js';

/** A record has some 2 KB, with layers more. */
const MAX_BYTES = 2 ** 20;

/** Nats per token that the variant is away from the original; undefined where nothing was measured. */
export async function measuredLoss(model: string, variant: string): Promise<number | undefined> {
  const folder = await reportFolder(model);
  if (folder === undefined) return undefined;
  const path = join(folder, `${variant}.json`);
  try {
    if ((await stat(path)).size > MAX_BYTES) return undefined;
    const { klDivergence } = JSON.parse(await readFile(path, 'utf8')) as { readonly klDivergence?: unknown };
    return typeof klDivergence === 'number' ? klDivergence : undefined;
  } catch {
    // A record is a nicety: a model is served without.
    return undefined;
  }
}
