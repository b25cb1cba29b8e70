/** transformers.js without a network, on the folder of one model; gives the name under which it finds it. */
import { basename, dirname, resolve } from 'node:path';
import { env } from '@huggingface/transformers';

export function localModel(folder) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = dirname(resolve(folder));
  env.fetch = () => Promise.reject(new Error('no network in this test'));
  globalThis.fetch = env.fetch;
  return basename(resolve(folder));
}
