#!/usr/bin/env node
/** The `penjing` command: reads the command line, runs one verb, prints one result. The only caller of process.exit. */
import { setFlagsFromString } from 'node:v8';

// V8's young heap grows with the graph that is planned (to 48 MB for a 24 GB checkpoint) and stays in the peak; the calling thread
// only plans, so it keeps the size it starts with. Set before anything else is loaded.
setFlagsFromString('--semi-space-growth-factor=1');
const { runCli } = await import('./run-cli.js');

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

process.exitCode = await runCli(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr });
