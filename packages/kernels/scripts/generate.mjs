/** Compiles assembly/*.ts to one SIMD module and writes it, in base64, as src/generated/module.ts. Does nothing when up to date. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { argv } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = new URL('..', import.meta.url);
const target = new URL('src/generated/module.ts', root);

/** First line of an up-to-date src/generated/module.ts: it changes with every source, with this script and with the compiler. */
export function stamp() {
  const { version } = createRequire(import.meta.url)('assemblyscript/package.json');
  const hash = createHash('sha256').update(version).update(readFileSync(new URL(import.meta.url)));
  const sources = readdirSync(new URL('assembly/', root)).filter((name) => name.endsWith('.ts')).sort();
  for (const name of sources) hash.update(name).update(readFileSync(new URL(`assembly/${name}`, root)));
  return `// Generated from assembly/ by scripts/generate.mjs, sources ${hash.digest('hex').slice(0, 16)}`;
}

/** The first line that is there now. */
export function currentStamp() {
  try {
    return readFileSync(target, 'utf8').split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

async function compile() {
  const asc = await import('assemblyscript/asc');
  let binary;
  const { error, stderr } = await asc.main(
    [
      'assembly/index.ts', '--outFile', 'kernels.wasm', '--baseDir', fileURLToPath(root),
      '-O3', '--converge', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--enable', 'simd',
      '--importMemory', '--noExportMemory', '--initialMemory', '1', '--memoryBase', '1024', '--stackSize', '0',
    ],
    { writeFile: (name, contents) => void (name.endsWith('.wasm') && (binary = contents)) },
  );
  if (error || !binary) {
    process.stderr.write(stderr.toString());
    throw error ?? new Error('asc wrote no module');
  }
  return binary;
}

if (import.meta.url === pathToFileURL(argv[1]).href && currentStamp() !== stamp()) {
  const binary = await compile();
  const base64 = Buffer.from(binary).toString('base64');
  mkdirSync(new URL('.', target), { recursive: true });
  writeFileSync(target, `${stamp()}\n\n/** The module in base64. */\nexport const moduleBase64 =\n  '${base64}';\n`);
  console.log(`kernels: ${binary.length} bytes of WebAssembly`);
}
