/** `npm test`: installs, builds, and runs the unit and contract tests. Arguments go to vitest. */
import { build, install, vitest } from './tools.mjs';

install();
build({ types: false });
process.exit(vitest('test', process.argv.slice(2)));
