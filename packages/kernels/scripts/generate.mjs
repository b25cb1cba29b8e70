/** Compiles assembly/*.ts to one SIMD module and writes it, in base64, as src/generated/module.ts. Does nothing when up to date. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as asc from 'assemblyscript/asc';

const root = new URL('..', import.meta.url);
const target = new URL('src/generated/module.ts', root);
const sources = readdirSync(new URL('assembly/', root)).filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts')).sort();

const hash = createHash('sha256').update(asc.version).update(readFileSync(new URL(import.meta.url)));
for (const name of sources) hash.update(name).update(readFileSync(new URL(`assembly/${name}`, root)));
const stamp = `// Generated from assembly/ by scripts/generate.mjs, sources ${hash.digest('hex').slice(0, 16)}`;

if (read(target)?.startsWith(stamp) !== true) {
  const binary = await compile();
  mkdirSync(new URL('.', target), { recursive: true });
  writeFileSync(target, `${stamp}\n\n/** The module in base64. */\nexport const moduleBase64 =\n  '${Buffer.from(binary).toString('base64')}';\n`);
  console.log(`kernels: ${binary.length} bytes of WebAssembly`);
}

async function compile() {
  let binary;
  const { error, stderr } = await asc.main(
    [
      'assembly/index.ts', '--outFile', 'kernels.wasm', '--baseDir', fileURLToPath(root),
      '-O3', '--converge', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--enable', 'simd',
      '--importMemory', '--noExportMemory', '--initialMemory', '1', '--memoryBase', '1024', '--stackSize', '0',
      ...process.argv.slice(2),
    ],
    { writeFile: (name, contents) => void (name.endsWith('.wasm') ? (binary = contents) : writeFileSync(new URL(name, root), contents)) },
  );
  if (error || !binary) {
    process.stderr.write(stderr.toString());
    throw error ?? new Error('asc wrote no module');
  }
  return binary;
}

function read(url) {
  try {
    return readFileSync(url, 'utf8');
  } catch {
    return undefined;
  }
}
