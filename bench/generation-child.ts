/** One decoder, one length of the prompt: what `generation.ts` runs in a process of its own, so that peak memory is that of this model. */
import { benchModel } from '@penjing/runtime';

const [, , path = '', variant = 'q4', context = '128', tokens = '32', threads = '2'] = process.argv;
const { prefill, decode, peakRssBytes } = await benchModel({ path, variant }, { threads: Number(threads), warmup: 0, runs: 1, promptTokens: Number(context), newTokens: Number(tokens) });
console.log(JSON.stringify({ prefillMs: (1000 * prefill!.promptTokens) / prefill!.tokensPerSecond, tokenMs: [decode!.latency.p50], peakRssBytes }));
process.exit(0);
