/** Where the shared test material is: PENJING_TESTDATA, or ../shared/data beside the repository. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = process.env['PENJING_TESTDATA'] ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));

/** Undefined when it is not there; then tests that need it are skipped. */
export const testData = existsSync(join(folder, 'README.md')) ? folder : undefined;
