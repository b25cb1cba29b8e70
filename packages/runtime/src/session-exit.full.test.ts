import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** Starts a run of a second or so in a process of its own, does `then` in the middle of it, and tells how it ended. */
async function endingOf(then: string): Promise<{ code: number | null; output: string }> {
  const script = `
    import { DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
    import { ortEngine } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
    const N = 1024;
    const model = new Model();
    model.opsetImports.set('', 17);
    const b = new GraphBuilder(model.graph);
    const x = b.input('x', tensorType('float32', [N, N]));
    let y = x;
    for (let i = 0; i < 60; i++) y = b.op('MatMul', [y, x]);
    b.output(y, 'y', tensorType('float32', [N, N]));
    const executor = await ortEngine({ threads: 1 }).load(model);
    let ended = false;
    const run = executor.run({ x: DenseTensor.of('float32', [N, N], new Float32Array(N * N)) }).then(() => 'ran', (error) => error.code).finally(() => (ended = true));
    setTimeout(async () => { if (ended) console.log('too fast'); ${then} }, 100);
    console.log(await run);`;
  const child = spawn(process.execPath, ['--conditions=@penjing/source', '--import', 'tsx', '--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, output };
}

// Without the gate each of these ends with "terminate called after throwing an instance of 'Napi::Error'" and code 134.
test('process.exit in the middle of a run ends with its own code', async () => {
  expect(await endingOf('process.exit(130);')).toEqual({ code: 130, output: '' });
});

test('an uncaught error in the middle of a run ends with code 1', async () => {
  const { code, output } = await endingOf("throw new Error('uncaught');");
  expect(code).toBe(1);
  expect(output).toContain('uncaught');
  expect(output).not.toContain('Napi');
});

test('an executor disposed in the middle of a run, and one never disposed, let the process end well', async () => {
  expect(await endingOf('await executor[Symbol.asyncDispose](); console.log("disposed");')).toEqual({ code: 0, output: 'E_DISPOSED\ndisposed\n' });
  expect(await endingOf('')).toEqual({ code: 0, output: 'ran\n' });
});
