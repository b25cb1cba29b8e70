/**
 * Texts that a language model writes itself, at temperature 1: held-out and calibration texts of a model whose training texts are not at hand.
 * `npx tsx --conditions=@penjing/source bench/sample-texts.ts MODEL FOLDER [--tokens 2000] [--calibration-tokens 16384] [--seeds 3]`
 * writes heldout.txt and train-0.txt, train-1.txt, … MODEL is a converted folder.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadGenerator } from '@penjing/runtime';

const { values, positionals: [model = '', folder = ''] } = parseArgs({
  allowPositionals: true,
  options: { tokens: { type: 'string', default: '2000' }, 'calibration-tokens': { type: 'string', default: '16384' }, seeds: { type: 'string', default: '3' }, longest: { type: 'string', default: '256' } },
});

await using generator = await loadGenerator(model);
let seed = 0;
async function text(tokens: number): Promise<string> {
  const pieces: string[] = [];
  for (let written = 0; written < tokens;) {
    const { text: piece, tokens: list } = await generator.generate('', { temperature: 1, seed: seed++, maxNewTokens: Math.min(Number(values.longest), tokens - written) });
    written += Math.max(1, list.length);
    pieces.push(piece.trim().replace(/\n+/g, '\n'));
  }
  return `${pieces.join('\n\n')}\n`;
}

await mkdir(folder, { recursive: true });
const files = ['heldout.txt', ...Array.from({ length: Number(values.seeds) }, (_, i) => `train-${i}.txt`)];
for (const [i, file] of files.entries()) await writeFile(join(folder, file), await text(Number(i === 0 ? values.tokens : values['calibration-tokens'])));
