/** Every TFLite operator that is read, by its name in the schema. */
import type { ReadTable } from '../operator.js';
import { conv } from './conv.js';
import { elementwise } from './elementwise.js';
import { image } from './image.js';
import { linalg } from './linalg.js';
import { movement } from './movement.js';
import { recurrent } from './recurrent.js';
import { reductions } from './reduce.js';

export const readTable: ReadTable = { ...elementwise, ...conv, ...linalg, ...reductions, ...movement, ...image, ...recurrent };
