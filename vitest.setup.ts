/** Property tests draw the same cases on every machine; PENJING_SEED=random draws new ones. */
import fc from 'fast-check';

const wanted = process.env['PENJING_SEED'] ?? '20261124';
if (wanted !== 'random') fc.configureGlobal({ seed: Number(wanted) });
