/** One hash of all that a folder holds. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Names and bytes of everything in a folder but files of the name `without`, in a fixed order. */
export function digestFolder(path: string, { without }: { readonly without?: string } = {}): string {
  const hash = createHash('sha256');
  const names = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && entry.name !== without).map((entry) => join(entry.parentPath, entry.name));
  for (const name of names.sort()) hash.update(name.slice(path.length)).update(readFileSync(name));
  return hash.digest('hex');
}
