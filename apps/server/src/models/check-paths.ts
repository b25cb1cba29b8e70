/** What is wrong with the paths of a configuration, told before anything listens: a mistake of who starts the server is nothing to wait for. */
import { stat } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';
import type { ServerConfig } from '../config/schema.js';

/** Throws `E_NOT_FOUND` for a repository, model, plan or student that is not there, and for a ladder of variants under a model that is a single file. What lies in the repository is told by its index. */
export async function checkPaths({ models, repository }: Pick<ServerConfig, 'models' | 'repository'>): Promise<void> {
  if (repository !== undefined) await isFile(repository, 'the repository');
  for (const { path, plan, stages, ladder } of models) {
    // Of a model whose stages run elsewhere the path is a name; the file need not be here.
    const single = stages ? false : await isFile(path, 'the model');
    if (plan !== undefined) await isFile(plan, 'the plan');
    if (stages) await isFile(stages.plan, 'the plan');
    for (const rung of ladder) {
      if (rung.path !== undefined) await isFile(rung.path, `variant ${rung.variant}`);
      // A folder may lack some variants, which is told when it is loaded. Only who has a ladder needs the runtime here, and of it no more than where files lie.
      else if (single) await (await import('@penjing/runtime')).locateModel(path, rung.variant);
    }
  }
}

async function isFile(path: string, what: string): Promise<boolean> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${what} ${path} is not there`, { hint: 'Check the path.', cause });
  });
  return !found.isDirectory();
}
