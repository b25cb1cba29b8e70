/** What convert, quantize and apply share: run a recipe, then say what came out. */
import type { JoinOptions, RecipeFile, RecipeResult, RunRecipeOptions, Training } from '@penjing/recipe';
import type { CommandContext, CommandResult, OptionSpec } from './command.js';
import { joinOptionsOf, rootsOf } from './fleet-options.js';
import { common, numberOf, textOf, underHeading } from './options.js';
import { formatBytes } from './progress.js';
import { formatTable } from './table.js';

/** Options of every verb that writes a model. */
export const saveOptions: readonly OptionSpec[] = underHeading('Output', [
  common.force,
  common.resume,
  { flags: '--external-data <when>', help: 'weights in a file of their own', choices: ['auto', 'always', 'never'] },
  { flags: '--no-check', help: 'do not load the result with ONNX Runtime afterwards' },
  common.report,
]);

/**
 * Runs steps given on the command line. The recipe schema checks their values, as it does for files. Where they only stream weights from file to
 * file, threads for that start before everything else is loaded.
 */
export async function runSteps(context: CommandContext, steps: readonly object[], { input = context.arguments[0], streams = false, exchange }: { readonly input?: string | undefined; readonly streams?: boolean; readonly exchange?: RunRecipeOptions['exchange'] } = {}): Promise<CommandResult> {
  const early = streams && input !== undefined && textOf(context.options, 'join') === undefined;
  await using pool = early ? await (await import('@penjing/recipe/pool')).startPool(input, numberOf(context.options, 'threads')) : undefined;
  return await runRecipeFile(context, JSON.stringify({ steps }), 'the command line', { input, pool, exchange });
}

export async function runRecipeFile(context: CommandContext, text: string, name: string, { input, pool, exchange }: { readonly input?: string | undefined; readonly pool?: RunRecipeOptions['pool']; readonly exchange?: RunRecipeOptions['exchange'] } = {}): Promise<CommandResult> {
  const { completeRecipe, parseRecipe, runRecipe } = await import('@penjing/recipe');
  const { options } = context;
  const join = joinOptionsOf(context);
  const file: RecipeFile = await parseRecipe(text, name);
  const recipe = completeRecipe(file, {
    ...(input === undefined ? {} : { input }),
    ...(textOf(options, 'output') === undefined ? {} : { output: textOf(options, 'output') }),
  });
  const run = async (shared: Pick<RunRecipeOptions, 'pool' | 'fleet'>): Promise<CommandResult> => {
    const result = await runRecipe(recipe, {
      force: options['force'] === true,
      resume: options['resume'] === true,
      check: options['check'] !== false,
      externalData: textOf(options, 'externalData') as 'auto' | undefined,
      threads: numberOf(options, 'threads'),
      report: textOf(options, 'report'),
      signal: context.signal,
      ...(context.onProgress ? { onProgress: context.onProgress } : {}),
      ...(context.seed !== undefined && { seed: context.seed }),
      onNote: context.note,
      ...shared,
      ...(exchange && { exchange }),
    });
    return { json: { ...result }, text: describe(result) };
  };
  return join ? onFleet(context, join, recipe.output, run) : run({ ...(pool && { pool }) });
}

/** Workers write the weights, and run the jobs that they know. */
async function onFleet({ options, signal }: CommandContext, join: JoinOptions, output: string, run: (shared: Pick<RunRecipeOptions, 'pool' | 'fleet'>) => Promise<CommandResult>): Promise<CommandResult> {
  const { fleetPool, joinFleet, openRoots } = await import('@penjing/recipe');
  const roots = await openRoots(rootsOf(options));
  await using fleet = await joinFleet(join);
  await using pool = fleetPool({ queue: fleet.queue, roots, output, signal });
  return await run({ pool, fleet: { queue: fleet.queue, roots } });
}

function describe(result: RecipeResult): string {
  // How far each weight went in training is in the report; nobody reads it as a loss.
  const trained = new Set(result.training?.map(({ step }) => step));
  const changed = result.records.filter((record) => record.method !== 'none' && !trained.has(record.method));
  const lines: string[] = [];
  if (changed.length > 0) {
    const rows = changed.map((record) => [
      record.name,
      record.method,
      formatBytes(record.bytesBefore),
      formatBytes(record.bytesAfter),
      record.snrDb === undefined ? '—' : record.snrDb.toFixed(1),
      record.maxError === undefined ? '—' : record.maxError.toPrecision(3),
    ]);
    const shown = rows.length > 24 ? [...rows.slice(0, 12), ...rows.slice(-8)] : rows;
    lines.push(formatTable(['weight', 'method', 'before', 'after', 'SNR dB', 'max error'], shown));
    if (shown.length < rows.length) lines.push(`… and ${rows.length - shown.length} more (--json lists all)`);
    lines.push('');
  }
  for (const training of result.training ?? []) lines.push(...describeTraining(training), '');
  for (const warning of result.warnings) lines.push(`warning: ${warning}`);
  for (const record of result.records) {
    if (record.method === 'none') lines.push(`left alone: ${record.name} (${record.note ?? 'no reason given'})`);
  }
  const { seconds, bytes } = result;
  lines.push(`${result.output}: ${result.files.length} files, ${formatBytes(bytes)} in ${seconds.toFixed(1)} s`);
  if (result.check) lines.push(`check: ${result.check.text}`);
  return lines.join('\n');
}

function describeTraining({ step, losses, validations, best, reason, seconds, seen, perEpoch, unit }: Training): string[] {
  const digits = (value: number | undefined): string => (value === undefined ? '—' : value.toFixed(4));
  const kept = validations.find((validation) => validation.step === best?.step);
  const metrics = Object.entries(kept?.metrics ?? {}).map(([name, value]) => `, ${name} ${(100 * value).toFixed(2)} %`).join('');
  return [
    `${step}: ${losses.length} steps, ${(seen / perEpoch).toFixed(2)} epochs of ${perEpoch} ${unit}, ${Math.round(seen / seconds)} ${unit} per second (ended by ${reason})`,
    `loss ${digits(losses[0])} to ${digits(losses.at(-1))}${kept ? `, on held-out data ${digits(validations[0]?.loss)} to ${digits(kept.loss)}${metrics} (step ${kept.step})` : ''}`,
  ];
}
