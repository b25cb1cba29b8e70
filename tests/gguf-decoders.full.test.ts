/** Models of every block format, kept in their blocks and made floats. */
import { type BlockCodecName, blockCodecs } from '@penjing/kernels';
import { test } from 'vitest';
import { expectExactBlocks } from './support/gguf-llama.js';

test.each(Object.keys(blockCodecs) as BlockCodecName[])('a model of %s blocks gives the logits of its weights as floats', expectExactBlocks);
