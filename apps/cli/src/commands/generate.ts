/** `penjing generate`: text from a converted language model, as it comes. */
import { PenjingError } from '@penjing/core';
import type { GenerateOptions, Generator, Speculate } from '@penjing/runtime';
import type { Command, CommandContext, CommandResult } from '../command.js';
import { common, deviceOf, filled, integer, kvCacheOf, numberOf, prefixCacheOf, refuseOptions, textOf } from '../options.js';
import { readSampling, samplingOptions, stopOption } from '../sampling-options.js';

const BATCH = { group: 'Many prompts' };

export const generate: Command = {
  name: 'generate',
  summary: 'continue a prompt with a converted language model',
  arguments: [{ name: '<model>', help: 'a model folder, or an .onnx file in one' }],
  options: [
    { flags: '-p, --prompt <text>', help: 'where to start (empty when absent)' },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
    ...samplingOptions,
    { flags: '--choices <n>', help: 'write this many texts of the prompt, each with a seed of its own', parse: integer(1, 128) },
    stopOption,
    { flags: '--schema <file>', help: 'hold the text to a JSON schema' },
    { flags: '--regex <pattern>', help: 'hold the whole text to a regular expression' },
    { flags: '--grammar <file>', help: 'hold the text to a grammar in EBNF (GBNF), from its rule root on' },
    { flags: '--ngram <n>', help: 'guess tokens from what followed the same n tokens before; the text stays the same', parse: integer(2, 32) },
    { flags: '--draft <model>', help: 'guess tokens with a smaller model of the same tokens; the text stays the same' },
    { flags: '--draft-tokens <k>', help: 'guess so many at a time (4)', parse: integer(1, 15) },
    { ...BATCH, flags: '--batch <file>', help: 'prompts from a file, a line each: .txt, or .jsonl of texts or {"prompt", "id", "temperature", …}; results are lines of JSON', parse: filled },
    { ...BATCH, flags: '-o, --output <file>', help: 'where the results go (stdout when absent)', parse: filled },
    { ...BATCH, ...common.force },
    { ...BATCH, flags: '--max-concurrent <n>', help: 'prompts that are worked on at a time (16)', parse: integer(1, 1024) },
    common.seed,
    common.prefixCache,
    common.kvCache,
    common.device,
    common.threads,
  ],
  examples: [
    "penjing generate out/sapling --prompt 'First Citizen:' -n 60",
    "penjing generate out/sapling --variant q4 --prompt 'And the LORD said' --temperature 0.8 --top-p 0.95 --seed 7",
    "penjing generate out/sapling --prompt 'To be' --temperature 1 --choices 3",
    "penjing generate out/sapling --prompt 'To be, or not to be' --ngram 3",
    'penjing generate out/sapling --batch prompts.jsonl -o texts.jsonl -n 40',
    "penjing generate out/qwen --prompt 'A person as JSON: ' --schema person.schema.json",
  ],
  async run(context) {
    const { arguments: [path = ''], options, signal, write, seed } = context;
    checkBatch(options);
    const { loadGenerator, readConstraint } = await import('@penjing/runtime');
    const prompt = textOf(options, 'prompt') ?? '';
    const constrain = await readConstraint({ schema: textOf(options, 'schema'), regex: textOf(options, 'regex'), grammar: textOf(options, 'grammar') });
    await using generator = await loadGenerator(path, { variant: textOf(options, 'variant'), device: deviceOf(options), threads: numberOf(options, 'threads'), ...prefixCacheOf(options), ...kvCacheOf(options), signal });
    const sampling = {
      ...readSampling(options),
      ...(constrain && { constrain }),
      ...speculateOf(textOf(options, 'draft'), numberOf(options, 'ngram'), numberOf(options, 'draftTokens')),
      seed,
      signal,
    };
    if (textOf(options, 'batch') !== undefined) return await runBatch(context, generator, sampling);
    const count = numberOf(options, 'choices');
    if (count !== undefined && count > 1) {
      const choices = await generator.choices(prompt, count, sampling);
      return { json: { prompt, choices }, text: choices.map(({ text }, i) => `--- ${i + 1}\n${prompt}${text}`).join('\n') };
    }
    let echoed = false;
    // The prompt is echoed with the first token: a refusal then stands on a line of its own.
    const onText = (text: string): void => {
      if (!echoed) write(prompt);
      echoed = true;
      write(text);
    };
    const generation = await generator.generate(prompt, { ...sampling, onText });
    write(echoed ? '\n' : `${prompt}\n`);
    return { json: { prompt, ...generation }, text: '' };
  },
};

/** Options of one prompt, and those of many. */
const foreign = { batch: ['prompt', 'choices'], prompt: ['output', 'force', 'maxConcurrent'] } as const;

/** Throws `E_OPTION` for an option that would be ignored. */
function checkBatch(options: CommandContext['options']): void {
  const many = options['batch'] !== undefined;
  refuseOptions(options, foreign[many ? 'batch' : 'prompt'], many ? 'with --batch' : 'without --batch');
  if (many && options['json'] === true && options['output'] === undefined) throw new PenjingError('E_OPTION', '--json prints one object, and the results of --batch are many', { hint: 'Say with -o where the results go, or leave out --json.' });
}

async function runBatch({ options, write, note, onProgress }: CommandContext, generator: Generator, sampling: Omit<GenerateOptions, 'onText'>): Promise<CommandResult> {
  const { generateFile } = await import('@penjing/runtime');
  const output = textOf(options, 'output');
  const summary = await generateFile(generator, textOf(options, 'batch')!, { ...sampling, output, force: options['force'] === true, maxConcurrent: numberOf(options, 'maxConcurrent'), onLine: write, ...(onProgress && { onProgress }) });
  const { prompts, failed, newTokens, seconds } = summary;
  note(`${prompts} prompts${failed > 0 ? `, ${failed} of them failed` : ''}: ${newTokens} tokens in ${seconds.toFixed(1)} s${output === undefined ? '' : `, in ${output}`}`);
  const error = failed > 0 && { error: { code: 'E_BATCH', message: `${failed} of ${prompts} prompts failed`, hint: 'Their records say why.' } };
  return { json: { ...summary, output, ...error }, text: '', failed: failed > 0 };
}

function speculateOf(draft: string | undefined, ngram: number | undefined, tokens: number | undefined): { speculate?: Speculate } {
  // What is wrong with both is told by the library.
  if (draft === undefined && ngram === undefined && tokens === undefined) return {};
  return { speculate: { ...(tokens !== undefined && { tokens }), ...(draft !== undefined && { draft }), ...(ngram !== undefined && { ngram }) } as Speculate };
}
