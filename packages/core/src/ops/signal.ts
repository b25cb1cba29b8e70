/** Declarations of the signal, image decoding and random operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const signal = {
  Bernoulli: [
    '15 input:T1 -> output:T2 | T1=float; T2=float int uint bfloat16 bool | dtype:int seed:float',
    '22 input:T1 -> output:T2 | T1=float bfloat16; T2=float int uint bfloat16 bool | dtype:int seed:float',
  ],
  BlackmanWindow: ['17 size:T1 -> output:T2 | T1=int32 int64; T2=float int uint bfloat16 | output_datatype:int=1 periodic:int=1'],
  DFT: [
    '17 input:T1 dft_length?:T2 -> output:T1 | T1=float bfloat16; T2=int32 int64 | axis:int=1 inverse:int=0 onesided:int=0',
    '20 input:T1 dft_length?:T2 axis?:int64 -> output:T1 | T1=float bfloat16; T2=int32 int64 | inverse:int=0 onesided:int=0',
  ],
  HammingWindow: ['17 size:T1 -> output:T2 | T1=int32 int64; T2=float int uint bfloat16 | output_datatype:int=1 periodic:int=1'],
  HannWindow: ['17 size:T1 -> output:T2 | T1=int32 int64; T2=float int uint bfloat16 | output_datatype:int=1 periodic:int=1'],
  ImageDecoder: ['20 encoded_stream:T1 -> image:T2 | T1=uint8; T2=uint8 | pixel_format:string=RGB'],
  MelWeightMatrix: ['17 num_mel_bins:T1 dft_length:T1 sample_rate:T1 lower_edge_hertz:T2 upper_edge_hertz:T2 -> output:T3 | T1=int32 int64; T2=float bfloat16; T3=float int uint bfloat16 | output_datatype:int=1'],
  Multinomial: [
    '7 input:T1 -> output:T2 | T1=float; T2=int32 int64 | dtype:int=6 sample_size:int=1 seed:float',
    '22 input:T1 -> output:T2 | T1=float bfloat16; T2=int32 int64 | dtype:int=6 sample_size:int=1 seed:float',
  ],
  RandomNormal: [
    '1 -> output:T | T=float | dtype:int=1 mean:float=0.0 scale:float=1.0 seed:float shape:ints!',
    '22 -> output:T | T=float bfloat16 | dtype:int=1 mean:float=0.0 scale:float=1.0 seed:float shape:ints!',
  ],
  RandomNormalLike: [
    '1 input:T1 -> output:T2 | T1=any; T2=float | dtype:int mean:float=0.0 scale:float=1.0 seed:float',
    '22 input:T1 -> output:T2 | T1=any bfloat16; T2=float bfloat16 | dtype:int mean:float=0.0 scale:float=1.0 seed:float',
  ],
  RandomUniform: [
    '1 -> output:T | T=float | dtype:int=1 high:float=1.0 low:float=0.0 seed:float shape:ints!',
    '22 -> output:T | T=float bfloat16 | dtype:int=1 high:float=1.0 low:float=0.0 seed:float shape:ints!',
  ],
  RandomUniformLike: [
    '1 input:T1 -> output:T2 | T1=any; T2=float | dtype:int high:float=1.0 low:float=0.0 seed:float',
    '22 input:T1 -> output:T2 | T1=any bfloat16; T2=float bfloat16 | dtype:int high:float=1.0 low:float=0.0 seed:float',
  ],
  STFT: ['17 signal:T1 frame_step:T2 window?:T1 frame_length?:T2 -> output:T1 | T1=float bfloat16; T2=int32 int64 | onesided:int=1'],
} satisfies OpRows;
