/** `npm start`: the main job on the embedded model: checkpoint → ONNX → 4 bits → comparison with a page → text. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, install, root } from './tools.mjs';

install();
build({ types: false });

const model = join('models', 'sapling');
const out = join('out', 'sapling');
const report = join('out', 'report.html');
mkdirSync(join(root, 'out'), { recursive: true });

step('Convert the checkpoint to ONNX', 'convert', model, '-o', out, '--force');
step('Quantize it to 4 bits, straight from the checkpoint', 'quantize', model, '-o', out, '--bits', '4', '--force');
step('Compare the two on held-out text', 'compare', out, out, '--variant', 'q4', '--data', join(model, 'heldout.txt'), '--max-tokens', '20000', '--report', report);
step('Let the small one speak', 'generate', out, '--variant', 'q4', '--prompt', 'First Citizen:', '-n', '80', '--temperature', '0.7', '--top-p', '0.9', '--seed', '3');
console.log(`\nThe model folder:        ${join(root, out)}\nThe page with the plots: ${join(root, report)}`);

function step(title, ...args) {
  console.log(`\n── ${title}\n   penjing ${args.map((arg) => (/\s/.test(arg) ? `'${arg}'` : arg)).join(' ')}\n`);
  const { status } = spawnSync(process.execPath, [join(root, 'apps', 'cli', 'dist', 'main.js'), ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
