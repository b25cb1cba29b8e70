/** Failures of the file system as typed errors. */
import { isPenjingError, PenjingError } from '@penjing/core';

type Row = readonly [code: `E_${string}`, what: string, hint: string];

const full: Row = ['E_DISK_FULL', 'the disk is full', 'Free some space, then run again with --resume: what is finished is kept.'];
const denied: Row = ['E_PERMISSION', 'access is denied', 'Check the owner and the permissions of the file and its folder.'];

const rows: Readonly<Record<string, Row>> = {
  ENOSPC: full,
  EDQUOT: full,
  EACCES: denied,
  EPERM: denied,
  EROFS: denied,
  ENOENT: ['E_NOT_FOUND', 'it does not exist', 'Check the path.'],
  ENOTDIR: ['E_NOT_FOUND', 'a part of the path is no folder', 'Check the path.'],
  EEXIST: ['E_EXISTS', 'a part of the path is a file', 'Choose another path.'],
  EISDIR: ['E_FORMAT', 'it is a folder', 'Give the path of a file.'],
  ELOOP: ['E_SOURCE_CHANGED', 'it became a link', 'Let nothing write to the input while it is read.'],
  ENAMETOOLONG: ['E_OPTION', 'the name is too long for the file system', 'Choose a shorter name.'],
  EFBIG: ['E_DISK_FULL', 'the file system allows no file of this size', 'Write to another disk, or in smaller files.'],
};

/** A typed error stays; an error of the file system becomes one that names `path`; anything else is a bug and stays. */
export function ioError(cause: unknown, path: string): unknown {
  if (isPenjingError(cause) || !(cause instanceof Error)) return cause;
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return cause;
  const [typed, what, hint] = rows[code] ?? (['E_IO', `${syscall} failed with ${code}`, 'Check the disk, then run again.'] as const);
  return new PenjingError(typed, `${path}: ${what}`, { cause, hint, details: { path, errno: code } });
}
