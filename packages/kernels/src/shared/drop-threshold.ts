/** Hashes of 32 bits below this are a share `rate` of them. */
export const dropThreshold = (rate: number): number => Math.floor(Math.min(Math.max(rate, 0), 1 - 2 ** -32) * 2 ** 32);
