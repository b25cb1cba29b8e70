/** Options of verbs that are fields of a recipe step: what they take is what the schema of recipes says, written once. */
import type { RecipeStep } from '@penjing/recipe';
import { PenjingError } from '@penjing/core';
import recipeSchema from '@penjing/recipe/recipe.schema.json' with { type: 'json' };
import { Option } from 'commander';
import type { OptionSpec } from './command.js';
import { filled, integer, names, type NumberLimits, numbers, numberWithin, oneOf } from './options.js';

type StepName = RecipeStep extends infer Step ? (Step extends unknown ? keyof Step : never) : never;
type FieldsOf<Name extends StepName> = keyof Extract<RecipeStep, Readonly<Record<Name, unknown>>>[Name] & string;

/** How a field is called on the command line. */
export interface StepWord extends Pick<OptionSpec, 'flags' | 'help' | 'parse' | 'repeat' | 'required' | 'group'> {
  /** The field from the option; undefined leaves it out. The value itself when absent. */
  readonly from?: (value: unknown) => unknown;
}

/** Words under a heading of --help. */
export function inGroup<Words extends Readonly<Record<string, StepWord>>>(group: string, words: Words): Words {
  return Object.fromEntries(Object.entries(words).map(([field, word]) => [field, { ...word, group }])) as Words;
}

/** Words for what a step is calibrated with, the same in every verb. */
export const calibrationWords = inGroup('Data', {
  data: { flags: '--data <path>', help: 'what to calibrate with: text, .jsonl, .npz, .npy, IDX, .csv, .wav, a folder of pictures or of input_*.pb; PATH#FROM:TO takes a part; random:N to try things out' },
  samples: { flags: '--samples <n>', help: 'how many samples of the data to use (128 when absent); of text, windows of 512 tokens' },
  columns: { flags: '--columns <names>', help: 'columns of a .csv: that of the text, or those of numbers', parse: names },
  scale: { flags: '--scale <f>', help: 'pictures become (pixel · scale − mean) / std; 1/255 when absent' },
  mean: { flags: '--mean <f,…>', help: 'one number, or one per channel (0 when absent)', parse: numbers },
  std: { flags: '--std <f,…>', help: 'one number, or one per channel (1 when absent)', parse: numbers },
} as const satisfies Readonly<Record<string, StepWord>>);

/** The same for what was gathered from it, in the verbs that change a model. */
export const cacheWords = inGroup('Data', {
  cache: { flags: '--cache <file>', help: 'calibration cache: statistics of earlier runs (.safetensors): what fits the model, the samples and the method is taken from it, the rest is gathered and added' },
} as const satisfies Readonly<Record<string, StepWord>>);

/** A word for weights that a step leaves alone. */
export const excludeWord = { flags: '--exclude <name>', help: 'a weight to leave alone; /…/ is a pattern; may be repeated', repeat: true, group: 'Weights' } as const satisfies StepWord;

export interface StepOptions {
  readonly specs: readonly OptionSpec[];
  /** The fields that were given. Defaults stay with the step. */
  read(options: Readonly<Record<string, unknown>>): Record<string, unknown>;
  /** The options that were given, as they are written. */
  given(options: Readonly<Record<string, unknown>>): readonly string[];
}

/** Words for some fields of a step, in the order of --help. */
export function stepOptions<Name extends StepName>(step: Name, words: { readonly [Field in FieldsOf<Name>]?: StepWord }): StepOptions {
  const fields = (recipeSchema.properties.steps.items.properties as Readonly<Record<string, { readonly properties: object }>>)[step]!.properties as Readonly<Record<string, FieldSchema>>;
  const entries = (Object.entries(words) as [string, StepWord][]).map(([field, { from = (value: unknown) => value, ...word }]) => {
    const { flags, help, repeat, required, group } = word;
    const spec: OptionSpec = { flags, help, ...(repeat && { repeat }), ...(required && { required }), ...(group !== undefined && { group }), ...(takesValue(flags) && { ...reader(fields[field]!), ...(word.parse && { parse: word.parse }) }) };
    return { field, from, spec, name: new Option(flags).attributeName() };
  });
  const valuesOf = (options: Readonly<Record<string, unknown>>): { field: string; flag: string; value: unknown }[] =>
    entries
      .map(({ field, from, name, spec }) => ({ field, flag: /--[\w-]+/.exec(spec.flags)![0], value: options[name] === undefined ? undefined : from(options[name]) }))
      .filter(({ value }) => value !== undefined);
  return {
    specs: entries.map(({ spec }) => spec),
    read: (options) => Object.fromEntries(valuesOf(options).map(({ field, value }) => [field, value])),
    given: (options) => valuesOf(options).map(({ flag }) => flag),
  };
}

/** The words of two steps that one command line stands for. */
export function joinWords(first: StepOptions, second: StepOptions): StepOptions {
  return {
    specs: [...first.specs, ...second.specs],
    read: (options) => ({ ...first.read(options), ...second.read(options) }),
    given: (options) => [...new Set([...first.given(options), ...second.given(options)])],
  };
}

/** One of the steps that a verb can become, and the option that chooses it. */
export interface StepChoice {
  readonly flag: string;
  readonly words: StepOptions;
}

/** The fields of the chosen step. Throws `E_OPTION` for an option of the others, which would be ignored. */
export function readChosen(verb: string, { flag, words }: StepChoice, all: readonly StepOptions[], options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const taken = words.given(options);
  const ignored = all.flatMap((each) => each.given(options)).find((given) => !taken.includes(given));
  if (ignored !== undefined) throw new PenjingError('E_OPTION', `${ignored} means nothing ${flag}`, { hint: `See penjing ${verb} --help.` });
  return words.read(options);
}

interface FieldSchema extends NumberLimits {
  readonly type?: string;
  readonly enum?: readonly (string | number)[];
  readonly minLength?: number;
}

/** `<n>` must have one, `[n]` may. */
function takesValue(flags: string): boolean {
  return /[<[]/.test(flags);
}

/** Text to what the field holds; wrong usage where the schema would refuse it. */
function reader({ type, enum: values, minLength, ...limits }: FieldSchema): Pick<OptionSpec, 'parse' | 'choices'> {
  if (values?.every((value) => typeof value === 'string')) return { choices: values };
  if (values) return { parse: oneOf(values.map(Number)) };
  if (type === 'integer') return { parse: integer(limits.minimum ?? Number.MIN_SAFE_INTEGER, limits.maximum) };
  if (type === 'number') return { parse: numberWithin(limits) };
  return (minLength ?? 0) > 0 ? { parse: filled } : {};
}
