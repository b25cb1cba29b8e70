// A checkpoint to 4-bit ONNX with the packages alone, then a few words from the result.
// node examples/quantize-checkpoint.mjs [checkpoint folder] [output folder]
import { convertHuggingFace, openHuggingFaceFolder, serializeOnnx, transformersJsFiles, transformersJsModels } from '@penjing/graph-io';
import { openFolder, saveLayouts } from '@penjing/graph-io/node';
import { quantizeWeights } from '@penjing/quantize';
import { loadGenerator } from '@penjing/runtime';

const [input = 'models/sapling', output = 'out/example-q4'] = process.argv.slice(2);

// The graph is in memory, the weights are expressions over ranges of the checkpoint.
const folder = await openHuggingFaceFolder(openFolder(input));
const original = await convertHuggingFace(folder);
const { model, records } = await quantizeWeights({ bits: 4, blockSize: 32 }).run(original, {});

// Now they are read, rounded and written, chunk by chunk, by a pool of threads.
const files = [
  ...(await transformersJsFiles(folder, [{ dtype: 'q4' }])),
  ...serializeOnnx(model, { name: transformersJsModels.q4 }),
];
const { bytes, seconds, measured } = await saveLayouts(output, files, {
  force: true,
  onProgress: ({ phase, done, total }) => process.stderr.write(`\r${phase} ${Math.round((100 * done) / total)} %`),
});
process.stderr.write('\n');

for (const { name, measuredBy } of records.slice(0, 3)) {
  const { sumSquares, sumSquaredError } = measured.get(measuredBy);
  console.log(`${name}: ${(10 * Math.log10(sumSquares / sumSquaredError)).toFixed(1)} dB`);
}
console.log(`${records.length} weights, ${(bytes / 1e6).toFixed(2)} MB in ${seconds.toFixed(2)} s`);

// `await using` needs Node 24; on Node 20 the generator is disposed of by hand.
const generator = await loadGenerator(output, { variant: 'q4' });
try {
  const { text } = await generator.generate('First Citizen:', { maxNewTokens: 40, temperature: 0.7, seed: 3 });
  console.log(text);
} finally {
  await generator[Symbol.asyncDispose]();
}
