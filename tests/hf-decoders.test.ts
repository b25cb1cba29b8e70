/** Converted decoders against what transformers computed with the same checkpoints. */
import { decoderCases, decoderSuite } from './support/hf-decoder-suite.js';

decoderSuite('decoders', decoderCases('decoders'), ['gqa', 'standard']);
