/** A text file of which nobody knows how long it gets: written as it comes, there when it is whole. */
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { existing, exists } from './folder-state.js';
import { ioError } from './io-error.js';
import { syncFolder } from './output-file.js';
import { openWorkFolder, type WorkFolder } from './work-folder.js';

/** Written at once: lines are short. */
const WRITE_CHARACTERS = 2 ** 16;

export class TextOutput implements AsyncDisposable {
  readonly #target: string;
  readonly #force: boolean;
  readonly #work: WorkFolder;
  readonly #draft: string;
  readonly #handle: FileHandle;
  #unwritten = '';

  private constructor(target: string, force: boolean, work: WorkFolder, draft: string, handle: FileHandle) {
    this.#target = target;
    this.#force = force;
    this.#work = work;
    this.#draft = draft;
    this.#handle = handle;
  }

  /** Throws `E_EXISTS` for what is there already, unless `force` allows to replace it, and `E_BUSY` while another run writes it. */
  static async open(path: string, { force = false }: { readonly force?: boolean | undefined } = {}): Promise<TextOutput> {
    const target = resolve(path);
    if (!force && (await exists(target))) throw existing(path);
    await mkdir(dirname(target), { recursive: true }).catch((cause: unknown) => {
      throw ioError(cause, dirname(target));
    });
    const work = await openWorkFolder(target);
    try {
      await work.clear();
      const draft = join(work.path, basename(target));
      return new TextOutput(target, force, work, draft, await open(draft, 'w'));
    } catch (cause) {
      await work.remove();
      throw ioError(cause, target);
    }
  }

  async write(text: string): Promise<void> {
    this.#unwritten += text;
    if (this.#unwritten.length >= WRITE_CHARACTERS) await this.#flush();
  }

  /** Puts the file in its place. */
  async finish(): Promise<void> {
    await this.#flush();
    try {
      await this.#handle.sync();
      if (!this.#force && (await exists(this.#target))) throw existing(this.#target);
      await rename(this.#draft, this.#target);
      await syncFolder(dirname(this.#target));
    } catch (cause) {
      throw ioError(cause, this.#target);
    }
  }

  /** What is not finished is gone: nothing could go on from it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    await this.#work.remove();
  }

  async #flush(): Promise<void> {
    const text = this.#unwritten;
    this.#unwritten = '';
    try {
      await this.#handle.writeFile(text);
    } catch (cause) {
      throw ioError(cause, this.#target);
    }
  }
}
