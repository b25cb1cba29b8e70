/** Declarations of the convolution, pooling and image operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const conv = {
  AffineGrid: ['20 theta:T1 size:T2 -> grid:T1 | T1=float bfloat16; T2=int64 | align_corners:int=0'],
  AveragePool: [
    '11 X:T -> Y:T | T=float | auto_pad:string=NOTSET ceil_mode:int=0 count_include_pad:int=0 kernel_shape:ints! pads:ints strides:ints',
    '19 X:T -> Y:T | T=float | auto_pad:string=NOTSET ceil_mode:int=0 count_include_pad:int=0 dilations:ints kernel_shape:ints! pads:ints strides:ints',
    '22 X:T -> Y:T | T=float bfloat16 | auto_pad:string=NOTSET ceil_mode:int=0 count_include_pad:int=0 dilations:ints kernel_shape:ints! pads:ints strides:ints',
  ],
  Conv: [
    '11 X:T W:T B?:T -> Y:T | T=float | auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints',
    '22 X:T W:T B?:T -> Y:T | T=float bfloat16 | auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints',
  ],
  ConvTranspose: [
    '11 X:T W:T B?:T -> Y:T | T=float | auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints output_padding:ints output_shape:ints pads:ints strides:ints',
    '22 X:T W:T B?:T -> Y:T | T=float bfloat16 | auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints output_padding:ints output_shape:ints pads:ints strides:ints',
  ],
  DeformConv: [
    '19 X:T W:T offset:T B?:T mask?:T -> Y:T | T=float | dilations:ints group:int=1 kernel_shape:ints offset_group:int=1 pads:ints strides:ints',
    '22 X:T W:T offset:T B?:T mask?:T -> Y:T | T=float bfloat16 | dilations:ints group:int=1 kernel_shape:ints offset_group:int=1 pads:ints strides:ints',
  ],
  GlobalAveragePool: [
    '1 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  GlobalLpPool: [
    '2 X:T -> Y:T | T=float | p:int=2',
    '22 X:T -> Y:T | T=float bfloat16 | p:int=2',
  ],
  GlobalMaxPool: [
    '1 X:T -> Y:T | T=float',
    '22 X:T -> Y:T | T=float bfloat16',
  ],
  GridSample: [
    '16 X:T1 grid:T2 -> Y:T1 | T1=any; T2=float | align_corners:int=0 mode:string=bilinear padding_mode:string=zeros',
    '20 X:T1 grid:T2 -> Y:T1 | T1=any; T2=float | align_corners:int=0 mode:string=linear padding_mode:string=zeros',
    '22 X:T1 grid:T2 -> Y:T1 | T1=any bfloat16; T2=float bfloat16 | align_corners:int=0 mode:string=linear padding_mode:string=zeros',
  ],
  LpPool: [
    '11 X:T -> Y:T | T=float | auto_pad:string=NOTSET kernel_shape:ints! p:int=2 pads:ints strides:ints',
    '18 X:T -> Y:T | T=float | auto_pad:string=NOTSET ceil_mode:int=0 dilations:ints kernel_shape:ints! p:int=2 pads:ints strides:ints',
    '22 X:T -> Y:T | T=float bfloat16 | auto_pad:string=NOTSET ceil_mode:int=0 dilations:ints kernel_shape:ints! p:int=2 pads:ints strides:ints',
  ],
  MaxPool: [
    '12 X:T -> Y:T Indices?:I | T=float int8 uint8; I=int64 | auto_pad:string=NOTSET ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints storage_order:int=0 strides:ints',
    '22 X:T -> Y:T Indices?:I | T=float bfloat16 int8 uint8; I=int64 | auto_pad:string=NOTSET ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints storage_order:int=0 strides:ints',
  ],
  MaxRoiPool: [
    '1 X:T rois:T -> Y:T | T=float | pooled_shape:ints! spatial_scale:float=1.0',
    '22 X:T rois:T -> Y:T | T=float bfloat16 | pooled_shape:ints! spatial_scale:float=1.0',
  ],
  MaxUnpool: [
    '11 X:T1 I:T2 output_shape?:T2 -> output:T1 | T1=float; T2=int64 | kernel_shape:ints! pads:ints strides:ints',
    '22 X:T1 I:T2 output_shape?:T2 -> output:T1 | T1=float bfloat16; T2=int64 | kernel_shape:ints! pads:ints strides:ints',
  ],
  NonMaxSuppression: ['11 boxes:float32 scores:float32 max_output_boxes_per_class?:int64 iou_threshold?:float32 score_threshold?:float32 -> selected_indices:int64 |  | center_point_box:int=0'],
  Resize: [
    '13 X:T1 roi?:T2 scales?:float32 sizes?:int64 -> Y:T1 | T1=any bfloat16; T2=float | coordinate_transformation_mode:string=half_pixel cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0.0 mode:string=nearest nearest_mode:string=round_prefer_floor',
    '18 X:T1 roi?:T2 scales?:float32 sizes?:int64 -> Y:T1 | T1=any bfloat16; T2=float | antialias:int=0 axes:ints coordinate_transformation_mode:string=half_pixel cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0.0 keep_aspect_ratio_policy:string=stretch mode:string=nearest nearest_mode:string=round_prefer_floor',
    '19 X:T1 roi?:T2 scales?:float32 sizes?:int64 -> Y:T1 | T1=any bfloat16; T2=float | antialias:int=0 axes:ints coordinate_transformation_mode:string=half_pixel cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0.0 keep_aspect_ratio_policy:string=stretch mode:string=nearest nearest_mode:string=round_prefer_floor',
  ],
  RoiAlign: [
    '10 X:T1 rois:T1 batch_indices:T2 -> Y:T1 | T1=float; T2=int64 | mode:string=avg output_height:int=1 output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1.0',
    '16 X:T1 rois:T1 batch_indices:T2 -> Y:T1 | T1=float; T2=int64 | coordinate_transformation_mode:string=half_pixel mode:string=avg output_height:int=1 output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1.0',
    '22 X:T1 rois:T1 batch_indices:T2 -> Y:T1 | T1=float bfloat16; T2=int64 | coordinate_transformation_mode:string=half_pixel mode:string=avg output_height:int=1 output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1.0',
  ],
  Upsample: ['10 deprecated'],
} satisfies OpRows;
