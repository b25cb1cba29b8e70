/** `npm run test:full`: lint, types, and the heavy tests (`*.full.test.ts`): real clients, packing, faults, fuzzing. */
import { build, install, run, turbo, vitest } from './tools.mjs';

install();
build();
const lint = run('npx', ['eslint', '.', '--max-warnings', '0'], { allowFailure: true });
const types = turbo('typecheck', { allowFailure: true });
const tests = vitest('test-full', process.argv.slice(2), { PENJING_FULL: '1' });
process.exit(lint || types || tests);
