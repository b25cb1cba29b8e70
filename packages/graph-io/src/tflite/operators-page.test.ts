/** docs/tflite-operators.md is what the tables say; `-u` writes it anew. */
import { expect, test } from 'vitest';
import { builtinOperators } from './operators-schema.js';
import { isTfliteOperatorRead } from './read/read-tflite.js';
import { int8Rules } from './write/int8-rules.js';
import { lowerings } from './write/lowerings/index.js';

const integer = (name: string): string => {
  const rule = Object.hasOwn(int8Rules, name) ? int8Rules[name] : undefined;
  if (!rule) return '';
  return typeof rule.grid === 'string' ? 'yes' : `yes, with scale 1/${1 / rule.grid.scale[0]!}`;
};

const row = (name: string): string => `| ${name.replace('com.microsoft.', '')}${name.startsWith('com.microsoft.') ? ' (com.microsoft)' : ''} | ${integer(name)} | ${lowerings[name]!.note ?? ''} |`;

test('the page of TensorFlow Lite operators is up to date', async () => {
  const names = Object.keys(lowerings).sort((a, b) => a.localeCompare(b, 'en'));
  const read = builtinOperators.filter((type) => type !== 'CUSTOM' && isTfliteOperatorRead({ type, custom: undefined }));
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

${read.length} operators are read, float and quantized:

${read.map((name) => `\`${name}\``).join(', ')}.
`;
  await expect(page).toMatchFileSnapshot('../../../../docs/tflite-operators.md');
});

test('every rule for int8 is about an operator that is written', () => {
  expect(Object.keys(int8Rules).filter((name) => !Object.hasOwn(lowerings, name))).toEqual([]);
});
