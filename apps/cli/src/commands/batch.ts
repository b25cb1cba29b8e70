/** `penjing batch`: a model over the rows of a file, in threads or on many machines. */
import type { Command } from '../command.js';
import { fleetOptions, joinOptionsOf, rootsOf } from '../fleet-options.js';
import { common, decimal, integer, numberOf, refuseOptions, textOf } from '../options.js';

export const batch: Command = {
  name: 'batch',
  summary: 'run a model over the rows of a .jsonl, in this process or by the workers of a fleet',
  arguments: [{ name: '<rows>', help: 'a .jsonl: {"<input>": [[…]]}, {"text": "…"} or {"prompt": "…"} a line, perhaps with an id' }],
  options: [
    { flags: '-m, --model <path>', help: 'an .onnx file, or a model folder', required: true },
    { ...common.output, help: 'a .jsonl with a record for each row, in their order' },
    { ...common.force, group: 'Output' },
    { ...common.resume, group: 'Output' },
    { flags: '--task <name>', help: 'what the model is run as: raw, text-generation, text-classification, sentence-similarity (what it is for when absent)' },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of a folder with several' },
    { flags: '-n, --max-new-tokens <n>', help: 'most tokens of a text', parse: integer(1) },
    { flags: '--temperature <t>', help: 'of a text (0 takes the likeliest token)', parse: decimal(0, 100) },
    { flags: '--top-k <k>', help: 'most labels of a row', parse: integer(1) },
    { flags: '--truncate', help: 'cut texts that are too long instead of refusing them' },
    { flags: '--rows-per-job <n>', help: 'rows that a worker gets at a time (64)', parse: integer(1, 100_000) },
    { flags: '--workers <n>', help: 'jobs at a time in this process, without --join (1)', parse: integer(1, 256) },
    ...fleetOptions,
    common.seed,
    common.threads,
  ],
  examples: ['penjing batch rows.jsonl -m model.onnx -o outputs.jsonl --workers 4', 'penjing batch texts.jsonl -m out/classifier -o labels.jsonl --join nats://broker:4222 --root /mnt/shared'],
  async run(context) {
    const { arguments: [rows = ''], options, signal, note, onProgress, seed } = context;
    const join = joinOptionsOf(context);
    if (join) refuseOptions(options, ['workers', 'threads'], 'with --join');
    const { batchFile } = await import('@penjing/recipe');
    const [variant, maxNewTokens, temperature, topK] = [textOf(options, 'variant'), numberOf(options, 'maxNewTokens'), numberOf(options, 'temperature'), numberOf(options, 'topK')];
    const result = await batchFile(rows, textOf(options, 'model') ?? '', {
      output: textOf(options, 'output') ?? '',
      task: textOf(options, 'task'),
      options: {
        ...(variant !== undefined && { variant }), ...(maxNewTokens !== undefined && { maxNewTokens }), ...(temperature !== undefined && { temperature }), ...(topK !== undefined && { topK }),
        ...(options['truncate'] === true && { truncate: true }), ...(seed !== undefined && { seed }),
      },
      rowsPerJob: numberOf(options, 'rowsPerJob'),
      force: options['force'] === true,
      resume: options['resume'] === true,
      join,
      roots: rootsOf(options),
      workers: numberOf(options, 'workers'),
      threads: numberOf(options, 'threads'),
      signal,
      onNote: note,
      ...(onProgress && { onProgress }),
    });
    const { failed, seconds, resumed } = result;
    const text = `${result.output}: ${result.rows} rows${failed > 0 ? `, ${failed} of them failed` : ''}${resumed > 0 ? `, ${resumed} from an earlier run` : ''}, in ${seconds.toFixed(1)} s`;
    const error = failed > 0 && { error: { code: 'E_BATCH', message: `${failed} of ${result.rows} rows failed`, hint: 'Their records say why.' } };
    return { json: { ...result, ...error }, text, failed: failed > 0 };
  },
};
