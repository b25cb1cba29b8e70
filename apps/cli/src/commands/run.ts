/** `penjing run`: one forward pass of any ONNX model, or a task on texts, pictures and sounds. */
import { PenjingError } from '@penjing/core';
import type { RunModelOptions } from '@penjing/recipe';
import type { Command, CommandContext, CommandResult } from '../command.js';
import { common, decimal, deviceOf, filled, integer, listOf, names, numberOf, textOf } from '../options.js';
import { formatTable } from '../table.js';
import { stageBrokerOf, stageNetworkOf, stageNetworkOptions } from '../worker-stage.js';

const TASK = { group: 'Tasks' };
const STAGES = { group: 'Stages on other machines' };
/** Any of these makes it a run of a task. */
const taskOptions = ['task', 'text', 'data', 'picture', 'sound', 'query', 'question', 'label'] as const;

export const run: Command = {
  name: 'run',
  summary: 'run a task on texts, pictures or sounds, or a model once on given or random inputs',
  arguments: [{ name: '<model>', help: 'an .onnx file, a model folder, or a folder of `penjing split`' }],
  options: [
    { flags: '-i, --input <name=value>', help: "JSON (x=[[1,2]]) or a file (x=@x.npy, x=@x.json); may be repeated; inputs not given are random", repeat: true },
    { flags: '--shape <name=dims>', help: 'shape of a random input: x=1,3,224,224; may be repeated', repeat: true },
    { flags: '-o, --output <folder>', help: 'write each output as NAME.npy', parse: filled },
    common.force,
    { flags: '--plan <file>', help: 'run the model as a plan (penjing plan) says: replicas, stages, branches on this machine; with --stages the plan that they were started with', parse: filled },
    { ...TASK, flags: '--task <name>', help: 'what the model is for, when its folder does not tell: sentence-similarity (embeddings), text-ranking, text-classification, token-classification, fill-mask, image-classification, image-feature-extraction, automatic-speech-recognition, voice-activity-detection, zero-shot-classification, zero-shot-image-classification, question-answering' },
    { ...TASK, flags: '--text <text>', help: 'a text; may be repeated', repeat: true },
    { ...TASK, flags: '--data <path>', help: 'texts (.txt by line, .jsonl, .csv), pictures or sounds; may be repeated', repeat: true },
    { ...TASK, flags: '--picture <path>', help: 'a picture, or a folder of them; may be repeated', repeat: true },
    { ...TASK, flags: '--sound <path>', help: 'a .wav; may be repeated', repeat: true },
    { ...TASK, flags: '--columns <names>', help: 'the column of the text in a .csv', parse: names },
    { ...TASK, flags: '--query <text>', help: 'rank the texts by how well they answer it' },
    { ...TASK, flags: '--question <text>', help: 'find its answer in the texts' },
    { ...TASK, flags: '--max-answer-length <n>', help: 'most tokens of an answer', parse: integer(1, 10_000) },
    { ...TASK, flags: '--allow-impossible', help: 'that a text has no answer is one too' },
    { ...TASK, flags: '--label <name>', help: 'a class by name, of models that have none of their own; may be repeated', repeat: true },
    { ...TASK, flags: '--template <text>', help: 'the sentence that a label is put into: "This is a photo of {}."' },
    { ...TASK, flags: '--multi-label', help: 'several labels may be true' },
    { ...TASK, flags: '--top-k <k>', help: 'most labels, words or documents', parse: integer(1) },
    { ...TASK, flags: '--truncate', help: 'cut texts that are too long instead of refusing them' },
    { ...TASK, flags: '--pooling <names>', help: 'how states become an embedding, when the folder does not tell: cls, mean, max, lasttoken, …', parse: names },
    { ...TASK, flags: '--normalize', help: 'embeddings of length 1' },
    { ...TASK, flags: '--prompt <name>', help: 'a prompt of the folder that goes before every text: query, document, …' },
    { ...TASK, flags: '--aggregation <name>', help: 'how tokens become spans', choices: ['none', 'simple', 'first', 'average', 'max'] },
    { ...TASK, flags: '--language <code>', help: 'that is spoken; heard when absent' },
    { ...TASK, flags: '--translate', help: 'write what is said in English' },
    { ...TASK, flags: '--timestamps', help: 'sentences of a sound with their times' },
    { ...TASK, flags: '--temperature <t>', help: 'of what is written of a sound: 0 takes the likeliest; poor texts are tried again at higher ones when absent', parse: decimal(0, 2) },
    { ...TASK, flags: '--batch-size <n>', help: 'most texts or pictures in a run', parse: integer(1, 4096) },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
    { flags: '--stages <host:port,...>', help: 'run on the stages of the plan, which workers serve: where the first one is; several addresses are tried in turn. Their token is in PENJING_STAGE_TOKEN', parse: names, ...STAGES },
    { flags: '--join <url>', help: 'in place of --stages: the NATS server that knows where the stages of the plan are', parse: filled, ...STAGES },
    { flags: '--fleet <name>', help: 'with --join: fleets on the same server share nothing (penjing)', parse: filled, ...STAGES },
    { flags: '--nkey <file>', help: 'with --join: an NKey seed, or a .creds file, that says who this is', parse: filled, ...STAGES },
    ...stageNetworkOptions.map((option) => ({ ...option, ...STAGES })),
    common.seed,
    common.device,
    common.threads,
  ],
  examples: ["penjing run model.onnx --input 'x=[[1,2,3]]'", "penjing run out/classifier --text 'What a day' --top-k 2", 'penjing run out/clip --picture cat.jpg --label "a cat" --label "a dog"', 'penjing run out/whisper --sound talk.wav --timestamps', 'penjing run silero_vad.onnx --task voice-activity-detection --data talk.wav --json', 'penjing run model.onnx --input x=@x.npy -o outputs --json', 'penjing run model.onnx --shape x=8,3,224,224 --plan plan.json', 'penjing run model.onnx --plan plan.json --stages 10.0.0.5:7000', 'penjing run model.onnx --plan plan.json --join nats://broker:4222'],
  async run(context) {
    const { arguments: [path = ''], options, signal, seed } = context;
    if (taskOptions.some((name) => options[name] !== undefined && (!Array.isArray(options[name]) || options[name].length > 0))) return runOnTask(context);
    const { runModel } = await import('@penjing/recipe');
    const result = await runModel(path, {
      inputs: listOf(options, 'input'),
      shapes: listOf(options, 'shape'),
      output: textOf(options, 'output'),
      force: options['force'] === true,
      device: deviceOf(options),
      threads: numberOf(options, 'threads'),
      stages: stagesOf(context),
      plan: options['stages'] === undefined && options['join'] === undefined ? textOf(options, 'plan') : undefined,
      seed,
      signal,
    });
    const rows = result.outputs.map(({ name, dtype, shape, values, truncated }) => [
      name, dtype, `[${shape.join(', ')}]`, `${values.slice(0, 6).join(' ')}${truncated || values.length > 6 ? ' …' : ''}`,
    ]);
    return { json: { ...result }, text: formatTable(['output', 'type', 'shape', 'values'], rows) };
  },
};

function stagesOf(context: CommandContext): RunModelOptions['stages'] {
  const { options } = context;
  const addresses = options['stages'] as readonly string[] | undefined;
  const broker = stageBrokerOf(context);
  if (addresses !== undefined && broker) throw new PenjingError('E_OPTION', '--stages and --join both say where the stages are');
  const stages = addresses ?? broker;
  const plan = textOf(options, 'plan');
  if (stages !== undefined && plan === undefined) throw new PenjingError('E_OPTION', `${broker ? '--join needs' : '--stages need'} the --plan that they were started with`);
  return stages && plan !== undefined ? { ...stageNetworkOf(options), plan, stages } : undefined;
}

async function runOnTask({ arguments: [path = ''], options, signal, seed, onProgress }: CommandContext): Promise<CommandResult> {
  const { runTask } = await import('@penjing/recipe');
  const { task, results } = await runTask(path, {
    task: textOf(options, 'task'),
    texts: listOf(options, 'text'),
    data: ['data', 'picture', 'sound'].flatMap((name) => listOf(options, name)),
    columns: options['columns'] as readonly string[] | undefined,
    query: textOf(options, 'query'),
    question: textOf(options, 'question'),
    maxAnswerLength: numberOf(options, 'maxAnswerLength'),
    allowImpossible: options['allowImpossible'] === true,
    labels: listOf(options, 'label'),
    template: textOf(options, 'template'),
    multiLabel: options['multiLabel'] === true,
    topK: numberOf(options, 'topK'),
    truncate: options['truncate'] === true,
    pooling: options['pooling'] as readonly string[] | undefined,
    normalize: options['normalize'] === true ? true : undefined,
    prompt: textOf(options, 'prompt'),
    aggregation: textOf(options, 'aggregation'),
    language: textOf(options, 'language'),
    translate: options['translate'] === true,
    timestamps: options['timestamps'] === true ? true : undefined,
    temperature: numberOf(options, 'temperature'),
    seed,
    batchSize: numberOf(options, 'batchSize'),
    variant: textOf(options, 'variant'),
    device: deviceOf(options),
    threads: numberOf(options, 'threads'),
    signal,
    onProgress,
  });
  // texts of others may hold what moves the cursor of a terminal
  const plain = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');
  const shown = (text: string): string => plain(text.length > 60 ? `${text.slice(0, 59)}…` : text);
  return {
    json: { task, results: results.map(({ input, output }) => ({ input, output })) },
    text: formatTable(['input', task], results.flatMap(({ input, summary }) => [summary].flat().map((line, i) => [i === 0 ? shown(input) : '', plain(line)]))),
  };
}
