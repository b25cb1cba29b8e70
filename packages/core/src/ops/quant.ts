/** Declarations of the quantization operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const quant = {
  ConvInteger: ['10 x:T1 w:T2 x_zero_point?:T1 w_zero_point?:T2 -> y:T3 | T1=int8 uint8; T2=int8 uint8; T3=int32 | auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints'],
  DequantizeLinear: [
    '13 x:T x_scale:float32 x_zero_point?:T -> y:float32 | T=int8 uint8 int32 | axis:int=1',
    '19 x:T1 x_scale:T2 x_zero_point?:T1 -> y:T2 | T1=float8 int8 uint8 int32; T2=float32 float16 bfloat16 | axis:int=1',
    '21 x:T1 x_scale:T2 x_zero_point?:T1 -> y:T2 | T1=float8 int8 uint8 int16 uint16 int32 uint4 int4; T2=float32 float16 bfloat16 | axis:int=1 block_size:int=0',
    '23 x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | T1=float8 int8 uint8 int16 uint16 int32 uint4 int4 float4e2m1; T2=float32 float16 bfloat16; T3=float32 float16 bfloat16 | axis:int=1 block_size:int=0 output_dtype:int=0',
    '24 x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | T1=float8 int8 uint8 int16 uint16 int32 uint4 int4 float4e2m1; T2=float32 float16 bfloat16 float8e8m0; T3=float32 float16 bfloat16 | axis:int=1 block_size:int=0 output_dtype:int=0',
    '25 x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | T1=float8 int8 uint8 int16 uint16 int32 uint4 int4 float4e2m1 uint2 int2; T2=float32 float16 bfloat16 float8e8m0; T3=float32 float16 bfloat16 | axis:int=1 block_size:int=0 output_dtype:int=0',
    '28 x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | T1=float8 int8 uint8 int16 uint16 int32 uint4 int4 float4e2m1 uint2 int2 float6e2m3 float6e3m2; T2=float32 float16 bfloat16 float8e8m0; T3=float32 float16 bfloat16 | axis:int=1 block_size:int=0 output_dtype:int=0',
  ],
  DynamicQuantizeLinear: ['11 x:T1 -> y:T2 y_scale:float32 y_zero_point:T2 | T1=float32; T2=uint8'],
  MatMulInteger: ['10 A:T1 B:T2 a_zero_point?:T1 b_zero_point?:T2 -> Y:T3 | T1=int8 uint8; T2=int8 uint8; T3=int32'],
  QLinearConv: ['10 x:T1 x_scale:float32 x_zero_point:T1 w:T2 w_scale:float32 w_zero_point:T2 y_scale:float32 y_zero_point:T3 B?:T4 -> y:T3 | T1=int8 uint8; T2=int8 uint8; T3=int8 uint8; T4=int32 | auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints'],
  QLinearMatMul: [
    '10 a:T1 a_scale:float32 a_zero_point:T1 b:T2 b_scale:float32 b_zero_point:T2 y_scale:float32 y_zero_point:T3 -> y:T3 | T1=int8 uint8; T2=int8 uint8; T3=int8 uint8',
    '21 a:T1 a_scale:TS a_zero_point:T1 b:T2 b_scale:TS b_zero_point:T2 y_scale:TS y_zero_point:T3 -> y:T3 | TS=float32 float16 bfloat16; T1=float8 int8 uint8; T2=float8 int8 uint8; T3=float8 int8 uint8',
  ],
  QuantizeLinear: [
    '13 x:T1 y_scale:float32 y_zero_point?:T2 -> y:T2 | T1=float32 int32; T2=int8 uint8 | axis:int=1',
    '19 x:T1 y_scale:T1 y_zero_point?:T2 -> y:T2 | T1=float32 float16 bfloat16 int32; T2=float8 int8 uint8 | axis:int=1 saturate:int=1',
    '21 x:T1 y_scale:T1 y_zero_point?:T2 -> y:T2 | T1=float32 float16 bfloat16 int32; T2=float8 int8 uint8 int16 uint16 uint4 int4 | axis:int=1 block_size:int=0 output_dtype:int=0 saturate:int=1',
    '23 x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | T1=float32 float16 bfloat16 int32; T2=float32 float16 bfloat16 int32; T3=float8 int8 uint8 int16 uint16 uint4 int4 float4e2m1 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1',
    '24 x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | T1=float32 float16 bfloat16 int32; T2=float32 float16 bfloat16 int32 float8e8m0; T3=float8 int8 uint8 int16 uint16 uint4 int4 float4e2m1 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1',
    '25 x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | T1=float32 float16 bfloat16 int32; T2=float32 float16 bfloat16 int32 float8e8m0; T3=float8 int8 uint8 int16 uint16 uint4 int4 float4e2m1 uint2 int2 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1',
    '28 x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | T1=float32 float16 bfloat16 int32; T2=float32 float16 bfloat16 int32 float8e8m0; T3=float8 int8 uint8 int16 uint16 uint4 int4 float4e2m1 uint2 int2 float6e2m3 float6e3m2 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1',
  ],
} satisfies OpRows;
