/** `penjing chat`: a conversation with a model folder, or with a model behind a server. */
import { PenjingError } from '@penjing/core';
import type { Command } from '../command.js';
import { common, deviceOf, filled, kvCacheOf, numberOf, prefixCacheOf, refuseOptions, textOf } from '../options.js';
import { readSampling, samplingOptions, stopOption } from '../sampling-options.js';

/** What a server has settled already. */
const LOCAL = ['variant', 'device', 'threads', 'prefixCache', 'kvCache'] as const;

export const chat: Command = {
  name: 'chat',
  summary: 'talk with a converted language model, or with one behind a server',
  arguments: [{ name: '[model]', help: 'a model folder, or an .onnx file in one; with --server the name of a model there' }],
  options: [
    { flags: '--server <url>', help: "ask a server with OpenAI's API instead, as http://127.0.0.1:8080", parse: filled },
    { flags: '--api-key <key>', help: 'key of the server (or PENJING_API_KEY, which no list of processes shows)', parse: filled },
    { flags: '--system <text>', help: 'system prompt' },
    { flags: '--drop-oldest', help: 'forget the oldest turns, and say so, when the conversation is too long for the model; else you are asked, and a pipe fails' },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
    ...samplingOptions,
    stopOption,
    common.seed,
    common.prefixCache,
    common.kvCache,
    common.device,
    common.threads,
  ],
  examples: [
    'penjing chat out/qwen --system "Answer in one sentence." --temperature 0.7',
    'penjing chat --server http://127.0.0.1:8080',
    "printf 'Who are you?\\nSince when?\\n' | penjing chat out/qwen --json",
  ],
  async run({ arguments: [model], options, signal, write, note, seed }) {
    const sampling = { ...readSampling(options), seed };
    const server = textOf(options, 'server');
    if (server === undefined && model === undefined) throw new PenjingError('E_OPTION', 'with whom is not said', { hint: 'Name a model folder, or a server: --server URL.' });
    refuseOptions(options, server === undefined ? ['apiKey'] : LOCAL, server === undefined ? 'without --server' : 'with --server');
    const { converse } = await import('../chat/converse.js');
    await using partner = server === undefined
      ? await (await import('../chat/local-partner.js')).localPartner(model!, { variant: textOf(options, 'variant'), device: deviceOf(options), threads: numberOf(options, 'threads'), ...prefixCacheOf(options), ...kvCacheOf(options), sampling, signal })
      : await (await import('../chat/server-partner.js')).serverPartner(server, { model, apiKey: textOf(options, 'apiKey') ?? process.env['PENJING_API_KEY'], sampling, signal });
    // Prompts go to stderr, so that stdout has nothing but replies.
    const screen = process.stdin.isTTY && process.stderr.isTTY ? process.stderr : undefined;
    if (screen) note('/help lists the commands; Ctrl-C stops a reply');
    const messages = await converse({ partner, system: textOf(options, 'system'), input: process.stdin, screen, dropOldest: options['dropOldest'] === true, write, note, signal });
    return { json: { messages }, text: '' };
  },
};
