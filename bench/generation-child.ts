/** One decoder, one length of the prompt: what `generation.ts` runs in a process of its own, so that peak memory is that of this model. */
import { benchModel, loadGenerator } from '@penjing/runtime';

const [, , path = '', variant = 'q4', ...numbers] = process.argv;
const [context = 128, tokens = 32, threads = 2, sequences = 1] = numbers.map(Number);
console.log(JSON.stringify(sequences === 1 ? await alone() : await together()));
process.exit(0);

async function alone(): Promise<object> {
  const { prefill, decode, peakRssBytes } = await benchModel({ path, variant }, { threads, warmup: 0, runs: 1, promptTokens: context, newTokens: tokens });
  return { prefillMs: (1000 * prefill!.promptTokens) / prefill!.tokensPerSecond, tokenMs: [decode!.latency.p50], peakRssBytes };
}

/** The times in which the slowest sequence wrote a token; those that began first go on, so that all rows of a batch are filled to the end. */
async function together(): Promise<object> {
  const generator = await loadGenerator(path, { variant, threads });
  const written = new Array<number>(sequences).fill(0);
  const times: number[] = [];
  const started = performance.now();
  let firstAt = 0;
  await Promise.all(
    written.map(async (_, index) => {
      const prompt = Array.from({ length: context }, (_, i) => (index * 7919 + i * 104_729) % generator.tokenizer.vocabSize);
      for await (const _piece of generator.stream(prompt, { maxNewTokens: 2 * tokens + 64, ignoreEndToken: true })) {
        written[index]!++;
        const all = Math.min(...written);
        if (all === 1 && firstAt === 0) firstAt = performance.now();
        if (all - 1 > times.length) times.push(performance.now());
        if (times.length >= tokens) break;
      }
    }),
  );
  return { prefillMs: firstAt - started, tokenMs: times.map((time, i) => time - (times[i - 1] ?? firstAt)), peakRssBytes: process.resourceUsage().maxRSS * 1024 };
}
