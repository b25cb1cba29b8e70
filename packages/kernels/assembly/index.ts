/** Everything the module exports. Positions are bytes in the imported memory; counts are elements. */
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './cast-half';
export { dequantizeBlocks } from './dequantize';
export { pack, unpack } from './pack';
export { quantizeBlocks } from './quantize-dispatch';
export { errorStats, minMax, products } from './stats';
export { transpose2d } from './transpose';
