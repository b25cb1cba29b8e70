/** The window of a convolution or a pooling, in numbers. */

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Before each spatial axis, then after each. */
  readonly pads: readonly number[];
}

/** As attributes of an operator. */
export const attributesOf = ({ kernel, strides, dilations, pads }: Window, group: number): Record<string, number | readonly number[]> => ({ kernel_shape: kernel, strides, dilations, pads, group });
