/** Structured logs; what clients send is never in them. */
import { type Logger, pino, stdTimeFunctions } from 'pino';

export function createLogger(level: string): Logger {
  // stderr: stdout belongs to the command line's results.
  return pino({ level, base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } }, process.stderr);
}
