/** Fixtures of checkpoints, converted once per file of tests into folders that the tasks of the runtime load. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runRecipe } from '@penjing/recipe';
import { expect } from 'vitest';

const fixtures = join(import.meta.dirname, '..', 'fixtures');

export class TaskFolders implements AsyncDisposable {
  readonly #root: string;
  readonly #made = new Map<string, Promise<string>>();

  private constructor(root: string) {
    this.#root = root;
  }

  static async open(): Promise<TaskFolders> {
    return new TaskFolders(await mkdtemp(join(tmpdir(), 'penjing-tasks-')));
  }

  /** The folder of a fixture (`encoders/bert-mlm`), converted for `task`. */
  convert(fixture: string, task?: string): Promise<string> {
    const key = `${fixture}-${task ?? 'own'}`.replaceAll('/', '-');
    let made = this.#made.get(key);
    if (!made) {
      const output = join(this.#root, key);
      made = runRecipe({ input: join(fixtures, fixture), output, steps: [{ convert: task ? { task } : {} }] }, { check: false }).then(() => output);
      this.#made.set(key, made);
    }
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }
}

export function fixturePath(...parts: readonly string[]): string {
  return join(fixtures, ...parts);
}

/** The same, numbers within 1e-4. */
export function expectClose(actual: unknown, wanted: unknown, where = 'output'): void {
  if (typeof wanted === 'number') {
    expect([where, typeof actual]).toEqual([where, 'number']);
    expect(Math.abs((actual as number) - wanted), where).toBeLessThan(1e-4);
  } else if (typeof wanted === 'object' && wanted !== null) {
    const plain = ArrayBuffer.isView(actual) ? [...(actual as Float32Array)] : actual;
    expect([where, Object.keys(plain as object).sort()]).toEqual([where, Object.keys(wanted).sort()]);
    for (const [key, value] of Object.entries(wanted)) expectClose((plain as Record<string, unknown>)[key], value, `${where}.${key}`);
  } else {
    expect([where, actual]).toEqual([where, wanted]);
  }
}
