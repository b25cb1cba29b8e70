/** Everything the module exports. Offsets are bytes in the imported memory; counts are elements. */
import { quantizeNbits } from './quantize-nbits';
import { Totals } from './quantize-slow';

export function quantizeNbits4Bfloat16(src: usize, rows: i32, cols: i32, blockSize: i32, flags: i32, values: usize, scales: usize, zeros: usize, codes: usize, totals: usize): void {
  quantizeNbits<u16, u16, f32>(src, rows, cols, blockSize, flags, values, scales, zeros, codes, changetype<Totals>(totals));
}
export function quantizeNbits4Bfloat16NoStats(src: usize, rows: i32, cols: i32, blockSize: i32, flags: i32, values: usize, scales: usize, zeros: usize, codes: usize, totals: usize): void {
  quantizeNbits<u16, u16, u8>(src, rows, cols, blockSize, flags, values, scales, zeros, codes, changetype<Totals>(totals));
}
