/** `penjing run`: one forward pass of any ONNX model. */
import type { Command } from '../command.js';
import { common, deviceOf, filled, listOf, numberOf, textOf } from '../options.js';
import { formatTable } from '../table.js';

export const run: Command = {
  name: 'run',
  summary: 'run a model once on given or random inputs',
  arguments: [{ name: '<model>', help: 'an .onnx file or a model folder' }],
  options: [
    { flags: '-i, --input <name=value>', help: "JSON (x=[[1,2]]) or a file (x=@x.npy, x=@x.json); may be repeated; inputs not given are random", repeat: true },
    { flags: '--shape <name=dims>', help: 'shape of a random input: x=1,3,224,224; may be repeated', repeat: true },
    { flags: '-o, --output <folder>', help: 'write each output as NAME.npy', parse: filled },
    common.force,
    common.seed,
    common.device,
    common.threads,
  ],
  examples: ["penjing run model.onnx --input 'x=[[1,2,3]]'", 'penjing run model.onnx --input x=@x.npy -o outputs --json'],
  async run({ arguments: [path = ''], options, signal, seed }) {
    const { runModel } = await import('@penjing/recipe');
    const result = await runModel(path, {
      inputs: listOf(options, 'input'),
      shapes: listOf(options, 'shape'),
      output: textOf(options, 'output'),
      force: options['force'] === true,
      device: deviceOf(options),
      threads: numberOf(options, 'threads'),
      seed,
      signal,
    });
    const rows = result.outputs.map(({ name, dtype, shape, values, truncated }) => [
      name, dtype, `[${shape.join(', ')}]`, `${values.slice(0, 6).join(' ')}${truncated || values.length > 6 ? ' …' : ''}`,
    ]);
    return { json: { ...result }, text: formatTable(['output', 'type', 'shape', 'values'], rows) };
  },
};
