/** Declarations of the control flow operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const control = {
  If: [
    '13 cond:B -> outputs+~:V | V=any seq(any); B=bool | else_branch:graph! then_branch:graph!',
    '16 cond:B -> outputs+~:V | V=any bfloat16 seq(any bfloat16) opt(any bfloat16 seq(any bfloat16)); B=bool | else_branch:graph! then_branch:graph!',
    '19 cond:B -> outputs+~:V | V=any float8 bfloat16 seq(any float8 bfloat16) opt(any float8 bfloat16 seq(any bfloat16)); B=bool | else_branch:graph! then_branch:graph!',
    '21 cond:B -> outputs+~:V | V=any float8 bfloat16 uint4 int4 seq(any float8 bfloat16 uint4 int4) opt(any float8 bfloat16 uint4 int4 seq(any bfloat16)); B=bool | else_branch:graph! then_branch:graph!',
    '23 cond:B -> outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 seq(any float8 bfloat16 uint4 int4 float4e2m1) opt(any float8 bfloat16 uint4 int4 float4e2m1 seq(any bfloat16)); B=bool | else_branch:graph! then_branch:graph!',
    '24 cond:B -> outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0) opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 seq(any bfloat16)); B=bool | else_branch:graph! then_branch:graph!',
    '25 cond:B -> outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2) opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 seq(any bfloat16)); B=bool | else_branch:graph! then_branch:graph!',
  ],
  Loop: [
    '13 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any seq(any); I=int64; B=bool | body:graph!',
    '16 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any bfloat16 seq(any bfloat16) opt(any bfloat16 seq(any bfloat16)); I=int64; B=bool | body:graph!',
    '19 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any float8 bfloat16 seq(any float8 bfloat16) opt(any float8 bfloat16 seq(any bfloat16)); I=int64; B=bool | body:graph!',
    '21 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 seq(any float8 bfloat16 uint4 int4) opt(any float8 bfloat16 uint4 int4 seq(any bfloat16)); I=int64; B=bool | body:graph!',
    '23 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 seq(any float8 bfloat16 uint4 int4 float4e2m1) opt(any float8 bfloat16 uint4 int4 float4e2m1 seq(any bfloat16)); I=int64; B=bool | body:graph!',
    '24 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0) opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 seq(any bfloat16)); I=int64; B=bool | body:graph!',
    '25 M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 seq(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2) opt(any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 seq(any bfloat16)); I=int64; B=bool | body:graph!',
  ],
  Scan: [
    '11 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
    '16 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any bfloat16 | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
    '19 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any float8 bfloat16 | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
    '21 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
    '23 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
    '24 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
    '25 initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | V=any float8 bfloat16 uint4 int4 float4e2m1 float8e8m0 uint2 int2 | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints',
  ],
} satisfies OpRows;
