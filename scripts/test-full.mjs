/** `npm run test:full`: lint, types, and the heavy tests (`*.full.test.ts`): real clients, packing, faults, fuzzing. */
import { build, install, lint, turbo, vitest } from './tools.mjs';

install();
build();
const style = lint();
const types = turbo('typecheck', { allowFailure: true });
const tests = vitest('test-full', process.argv.slice(2), { PENJING_FULL: '1' });
process.exit(style || types || tests);
