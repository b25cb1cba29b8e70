#!/usr/bin/env node
/** The `penjing` command: reads the command line, runs one verb, prints one result. The only caller of process.exit. */
import { runCli } from './run-cli.js';

process.exitCode = await runCli(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr });
