/** GGUF blocks of 32 weights with one scale: codes to a byte each, scales and minimums to float32. Layouts are those of ggml-common.h. */
import { widenOne } from './half';
import { fifthBits, nibblesOf } from './unpack-bits';

export function unpackQ4_0(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  const offset = i8x16.splat(8);
  for (let i = 0; i < blocks; i++, src += 18, codes += 32, scales += 4) {
    store<f32>(scales, widenOne<i16>(src));
    const x = v128.load(src, 2);
    v128.store(codes, i8x16.sub(nibblesOf(x, 0), offset));
    v128.store(codes, i8x16.sub(nibblesOf(x, 4), offset), 16);
  }
}

export function unpackQ4_1(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 20, codes += 32, scales += 4, mins += 4) {
    store<f32>(scales, widenOne<i16>(src));
    store<f32>(mins, -widenOne<i16>(src + 2));
    const x = v128.load(src, 4);
    v128.store(codes, nibblesOf(x, 0));
    v128.store(codes, nibblesOf(x, 4), 16);
  }
}

export function unpackQ5_0(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  const offset = i8x16.splat(16);
  for (let i = 0; i < blocks; i++, src += 22, codes += 32, scales += 4) {
    store<f32>(scales, widenOne<i16>(src));
    const x = v128.load(src, 6);
    v128.store(codes, i8x16.sub(v128.or(nibblesOf(x, 0), fifthBits(src + 2)), offset));
    v128.store(codes, i8x16.sub(v128.or(nibblesOf(x, 4), fifthBits(src + 4)), offset), 16);
  }
}

export function unpackQ5_1(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 24, codes += 32, scales += 4, mins += 4) {
    store<f32>(scales, widenOne<i16>(src));
    store<f32>(mins, -widenOne<i16>(src + 2));
    const x = v128.load(src, 8);
    v128.store(codes, v128.or(nibblesOf(x, 0), fifthBits(src + 4)));
    v128.store(codes, v128.or(nibblesOf(x, 4), fifthBits(src + 6)), 16);
  }
}

export function unpackQ8_0(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 34, codes += 32, scales += 4) {
    store<f32>(scales, widenOne<i16>(src));
    v128.store(codes, v128.load(src, 2));
    v128.store(codes, v128.load(src, 18), 16);
  }
}
