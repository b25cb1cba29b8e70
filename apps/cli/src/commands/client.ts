/** `penjing client`: a typed client of a model, in one file of TypeScript. */
import { basename, dirname, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import type { ClientSignature } from '@penjing/server';
import type { Command } from '../command.js';
import { namedPath } from '../named-path.js';
import { common, filled, refuseOptions, textOf } from '../options.js';
import { writeFiles } from '../write-files.js';

const LOCAL_SERVER = 'http://127.0.0.1:8080';
const HINT = 'It is the address of a model: URL/v2/models/NAME.';

export const client: Command = {
  name: 'client',
  summary: 'write a typed TypeScript client of a model',
  arguments: [{ name: '<model>', help: 'a model folder or .onnx file, as path or name=path, or the address of a served model: http://127.0.0.1:8080/v2/models/NAME' }],
  options: [
    { ...common.output, flags: '-o, --output <file.ts>' },
    common.force,
    { flags: '--url <url>', help: `where the client asks (that of the model, or ${LOCAL_SERVER}); calls may name another`, parse: filled },
    { flags: '--api-key <key>', help: 'key of the server to read from (or PENJING_API_KEY); it is not written', parse: filled },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
  ],
  examples: ['penjing client out/classifier -o classifier.ts', 'penjing client http://127.0.0.1:8080/v2/models/classifier -o classifier.ts'],
  async run({ arguments: [model = ''], options, signal }) {
    const output = resolve(textOf(options, 'output')!);
    const { renderClient } = await import('@penjing/server');
    const served = /^(https?:\/\/.+?)\/v2\/models\/([A-Za-z0-9._-]{1,128})\/?$/.exec(model);
    if (!served && /^https?:/.test(model)) throw new PenjingError('E_OPTION', `${model} is not the address of a model`, { hint: 'It is URL/v2/models/NAME.' });
    refuseOptions(options, served ? ['variant'] : ['apiKey'], served ? 'with the address of a model' : 'with the files of a model');
    const signature = served ? await servedSignature(model, textOf(options, 'apiKey') ?? process.env['PENJING_API_KEY'], signal) : await localSignature(model, textOf(options, 'variant'), signal);
    const text = renderClient(signature, textOf(options, 'url') ?? served?.[1] ?? LOCAL_SERVER);
    await writeFiles(dirname(output), [{ path: basename(output), text }], options['force'] === true);
    return { json: { ...signature, output }, text: `wrote ${output}: infer(${signature.inputs.map(({ name }) => name).join(', ')}) of ${signature.name}` };
  },
};

async function localSignature(model: string, variant: string | undefined, signal: AbortSignal): Promise<ClientSignature> {
  const [{ summarizeModel }, { clientSignature, nameOf }] = await Promise.all([import('@penjing/runtime'), import('@penjing/server')]);
  const { name, path } = namedPath(model);
  const { inputs, outputs } = await summarizeModel(path, { ...(variant !== undefined && { variant }), signal });
  return clientSignature(name ?? nameOf(path), inputs, outputs);
}

async function servedSignature(url: string, apiKey: string | undefined, signal: AbortSignal): Promise<ClientSignature> {
  const response = await fetch(url, { signal, ...(apiKey !== undefined && { headers: { Authorization: `Bearer ${apiKey}` } }) }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new PenjingError('E_SERVER', `${url} cannot be reached`, { cause });
  });
  const body: unknown = await response.json().catch(() => undefined);
  signal.throwIfAborted();
  const { parseSignature } = await import('@penjing/server');
  try {
    if (response.ok) return parseSignature(body);
  } catch (cause) {
    throw new PenjingError('E_SERVER', `${url} says what is no signature of a model: ${(cause as Error).message}`, { cause, hint: HINT });
  }
  const { error } = (body ?? {}) as { readonly error?: unknown };
  throw new PenjingError('E_SERVER', `${url} says: ${typeof error === 'string' ? error : `status ${response.status}`}`, { hint: HINT });
}
