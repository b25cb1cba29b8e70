/** docs/tflite-operators.md is what the tables say; `-u` writes it anew. */
import { readFile } from 'node:fs/promises';
import { memorySource } from '@penjing/core';
import { expect, test } from 'vitest';
import { openSafetensors } from '../safetensors/index.js';
import { openTflite, type TfliteFile } from './open-tflite.js';
import { builtinOperators } from './operators-schema.js';
import { exactTable, movesCodes } from './read/integer/index.js';
import { isTfliteOperatorRead } from './read/read-tflite.js';
import { int8Rules } from './write/int8-rules.js';
import { lowerings } from './write/lowerings/index.js';

const integer = (name: string): string => {
  const rule = Object.hasOwn(int8Rules, name) ? int8Rules[name] : undefined;
  if (!rule) return '';
  return typeof rule.grid === 'string' ? 'yes' : `yes, with scale 1/${1 / rule.grid.scale[0]!}`;
};

const row = (name: string): string => `| ${name.replace('com.microsoft.', '')}${name.startsWith('com.microsoft.') ? ' (com.microsoft)' : ''} | ${integer(name)} | ${lowerings[name]!.note ?? ''} |`;

/** Codes that stand for no operator. */
const NO_OPERATORS: ReadonlySet<string> = new Set(['CUSTOM', 'DELEGATE', 'PLACEHOLDER_FOR_GREATER_OP_CODES']);

const fixtures = new URL('../../../../tests/fixtures/tflite-read/', import.meta.url);

async function recordedModels(): Promise<TfliteFile[]> {
  const files = await Promise.all(['cases', 'sweep'].map(async (name) => openSafetensors(memorySource(new Uint8Array(await readFile(new URL(`${name}.safetensors`, fixtures)))))));
  const models = files.flatMap(({ tensors }) => [...tensors].filter(([name]) => name.endsWith('/model')).map(([, tensor]) => tensor));
  return Promise.all(models.map(async (tensor) => openTflite(memorySource(await tensor.load()))));
}

const caseCount = async (): Promise<number> => (await recordedModels()).length;

/** In how many recorded cases each operator is. */
async function recordedCases(): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { subgraphs } of await recordedModels()) {
    for (const type of new Set(subgraphs.flatMap(({ operators }) => operators.map((operator) => operator.type)))) counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  return counts;
}

test('the page of TensorFlow Lite operators is up to date', async () => {
  const names = Object.keys(lowerings).sort((a, b) => a.localeCompare(b, 'en'));
  const read = builtinOperators.filter((type) => type !== 'CUSTOM' && isTfliteOperatorRead({ type, custom: undefined }));
  const cases = await recordedCases();
  const rest = builtinOperators.filter((type) => !read.includes(type) && !NO_OPERATORS.has(type));
  const verified = read.filter((type) => cases.has(type));
  const all = read.length + rest.length;
  const page = `# TensorFlow Lite operators

Written from the tables of the code by \`npx vitest run packages/graph-io/src/tflite -u\`.

## ONNX to TensorFlow Lite

${names.length} ONNX operators are written. Where all operands are quantized (QuantizeLinear and DequantizeLinear around them, 8 bits, weights
symmetric), those marked "int8" are computed on integers; the others are computed on numbers, between DEQUANTIZE and QUANTIZE. Everything that
does not depend on the inputs is computed while converting, with whatever operators it uses.

An operator that is not listed is refused with its name and that of its node. Ways out: export the model with simpler operators, simplify it first
(constants and shape computations disappear), give fixed input sizes (\`inputShapes\`), or keep the model in ONNX.

| ONNX operator | int8 | restrictions |
|---|---|---|
${names.map(row).join('\n')}

## TensorFlow Lite to ONNX

${read.length} of the ${all} operators of the schema are read, float and quantized. ${verified.length} of them (${Math.round((100 * verified.length) / all)} % of all) are held against TensorFlow Lite's interpreter
in ${await caseCount()} recorded cases: floats within 1e-4, integers equal with \`--arithmetic exact\` where the second column says so. The others have no kernel in the
interpreter (most of StableHLO, CALL), or give random numbers.

How quantized operators compute is chosen by \`--arithmetic\`:

- \`fast\`: QuantizeLinear and DequantizeLinear around float operators, which ONNX Runtime turns into its integer kernels. They round in
  their own way: one quantum an operator at most, which a deep network may add up.
- \`exact\` (default, but for \`--to tflite\`): the integers that TensorFlow Lite's own kernels give (those it uses without a delegate on x86; its reference kernels and XNNPACK differ
  from them by the same single quanta). Slower; the weights stay in 8 bits.
- \`float\`: as \`fast\`, and float activations beside int8 weights ("dynamic range") are not rounded to 8 bits. TensorFlow Lite rounds them, and so
  do \`fast\` and \`exact\`; recurrent layers, where it means every step, in \`exact\` only.

Variables (VAR_HANDLE, and the states of LSTM, RNN and SVDF) are inputs of the graph, and outputs called \`…_next\` when they change; states begin
as zeros. Random numbers are drawn anew. A file with several signatures gives the first one, or that of \`--signature\`.

| TensorFlow Lite operator | exact | recorded cases |
|---|---|---|
${read.map((type) => `| ${type} | ${exactTable[type] ? 'yes' : movesCodes.has(type) ? 'moves' : ''} | ${cases.get(type) ?? ''} |`).join('\n')}

Refused by name: ${rest.map((type) => `\`${type}\``).join(', ')}; operators outside of the schema (custom ones, TensorFlow's own as \`Flex…\`); layer
normalization on integers in LSTM; variables that change in a branch or a loop.
`;
  await expect(page).toMatchFileSnapshot('../../../../docs/tflite-operators.md');
});

test('every rule for int8 is about an operator that is written', () => {
  expect(Object.keys(int8Rules).filter((name) => !Object.hasOwn(lowerings, name))).toEqual([]);
});
