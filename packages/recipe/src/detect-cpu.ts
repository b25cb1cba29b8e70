/** Which integer products the processor of this machine is good at. */
import { readFileSync } from 'node:fs';
import { arch, platform } from 'node:os';
import type { CpuKind } from '@penjing/quantize';

/** Where nobody says (Windows and macOS on x64), weights of 7 bits are right everywhere. */
export function detectCpu(): CpuKind {
  if (arch() === 'arm64') return 'arm64';
  if (platform() !== 'linux') return 'x64';
  return hasVnni(cpuInfo()) ? 'x64-vnni' : 'x64';
}

/** From the text of /proc/cpuinfo. */
export function hasVnni(text: string): boolean {
  return /^flags\s*:.*\b(avx512_vnni|avx_vnni)\b/m.test(text);
}

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
