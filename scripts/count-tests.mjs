/** Prints `N passed, N failed, N skipped` summed over the reports in out/. */
import { readFileSync } from 'node:fs';

const total = { passed: 0, failed: 0, skipped: 0 };
for (const path of process.argv.slice(2)) {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'));
    total.passed += report.numPassedTests;
    // A file that cannot be loaded fails as a suite without a failed test.
    const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
    total.failed += report.numFailedTests + broken.length;
    total.skipped += report.numPendingTests + report.numTodoTests;
  } catch (error) {
    console.error(`no report in ${path}: ${error.message}`);
    total.failed += 1;
  }
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
