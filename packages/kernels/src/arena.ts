/** A bump allocator over one ArrayBuffer. */
import { KernelError, type Arena } from './kernels.js';

/** Allocates from byte `start` to the end of `buffer`. */
export function bumpArena(buffer: ArrayBuffer, start = 0): Arena {
  let top = start;
  return {
    buffer,
    get free() {
      return buffer.byteLength - top;
    },
    alloc(byteLength, align = 16) {
      const begin = Math.ceil(top / align) * align;
      if (!(byteLength >= 0) || begin + byteLength > buffer.byteLength) {
        throw new KernelError(
          'E_ARENA_FULL',
          `the kernel arena has ${Math.max(0, buffer.byteLength - begin)} bytes left, ${byteLength} were asked for`,
          'work on fewer rows at a time, or create the kernels with a larger arenaBytes',
        );
      }
      top = begin + byteLength;
      return new Uint8Array(buffer, begin, byteLength);
    },
    mark: () => top,
    release(mark) {
      if (mark < start || mark > top) throw new KernelError('E_KERNEL_ARGUMENT', `arena mark ${mark} is not below ${top}`);
      top = mark;
    },
  };
}
