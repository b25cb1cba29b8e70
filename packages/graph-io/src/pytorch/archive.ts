/** What stands in a PyTorch file: an object out of its pickle, and the places of its storages. */
import { type ByteSource, dtypes, PenjingError } from '@penjing/core';
import { torchRules } from './allowlist.js';
import { readLegacy } from './legacy.js';
import { Materializer } from './materialize.js';
import { invalidPickle, PickleEndsEarly } from './pickle-machine.js';
import { readTorchTar } from './tar.js';
import { unpickle } from './unpickle.js';
import type { PyValue } from './values.js';
import { openZip, type ZipArchive } from './zip.js';

export interface PytorchFile {
  readonly source: ByteSource;
  readonly kind: 'zip' | 'torchscript' | 'legacy';
  readonly root: PyValue;
  readonly materializer: Materializer;
  /** The archive and the folder in it under which everything stands; undefined for what older versions wrote. */
  readonly archive: { readonly zip: ZipArchive; readonly folder: string } | undefined;
}

const ZIP_MAGIC = 0x04034b50;
const TAR_MAGIC = { offset: 257, text: 'ustar' } as const;

/** Throws `E_FORMAT` for a file that is none, and whatever is wrong with its archive or its pickle. */
export async function readPytorchFile(source: ByteSource): Promise<PytorchFile> {
  const head = await source.read(0, Math.min(source.size, 512));
  if (head.byteLength >= 4 && new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true) === ZIP_MAGIC) return readZipFile(source);
  if (new TextDecoder('latin1').decode(head.subarray(TAR_MAGIC.offset, TAR_MAGIC.offset + 5)) === TAR_MAGIC.text) {
    const { root, find } = await readTorchTar(source);
    return { source, kind: 'legacy', root, materializer: new Materializer(find), archive: undefined };
  }
  const { root, find } = await readLegacy(source);
  return { source, kind: 'legacy', root, materializer: new Materializer(find), archive: undefined };
}

async function readZipFile(source: ByteSource): Promise<PytorchFile> {
  const zip = await openZip(source);
  const folder = rootFolder(source, zip);
  await checkByteOrder(source, zip, folder);
  const root = await readPickle(zip, `${folder}data.pkl`);
  return {
    source,
    kind: zip.entries.has(`${folder}constants.pkl`) ? 'torchscript' : 'zip',
    root,
    materializer: new Materializer((storage, name) => {
      const entry = zip.entries.get(`${folder}data/${storage.key}`);
      if (!entry) throw new PenjingError('E_PICKLE', `${name} is in the storage ${JSON.stringify(storage.key)}, which ${source.uri} does not hold`, { hint: 'Download or save the file again.' });
      if (!entry.stored) {
        throw new PenjingError('E_ZIP', `${entry.name} in ${source.uri} is compressed; weights are read by ranges, which only stored entries have`, {
          hint: 'Load the file with torch and save it again: torch.save writes them so.',
        });
      }
      const wanted = storage.count * (storage.type ? dtypes[storage.type.dtype].bits / 8 : 1);
      if (storage.offset === 0 && wanted > entry.size) {
        throw new PenjingError('E_TRUNCATED', `the storage of ${name} has ${entry.size} bytes, its pickle says ${wanted}`, { hint: 'Download or save the file again.', details: { name, size: entry.size, wanted } });
      }
      return { source, offset: entry.offset, byteLength: entry.size };
    }),
    archive: { zip, folder },
  };
}

/** torch puts everything under one folder, named after the file as it was saved. */
function rootFolder(source: ByteSource, zip: ZipArchive): string {
  const [first = ''] = zip.entries.keys();
  const folder = first.includes('/') ? `${first.slice(0, first.indexOf('/'))}/` : '';
  if (zip.entries.has(`${folder}data.pkl`)) return folder;
  const exported = [...zip.entries.keys()].some((name) => /(^|\/)(archive_format|serialized_exported_program\.json)$/.test(name));
  throw new PenjingError('E_FORMAT', `${source.uri} is a zip archive without ${folder}data.pkl, so torch.save did not write it`, {
    hint: exported ? 'It is a program that torch.export wrote (.pt2).' : 'Give a file that torch.save wrote.',
  });
}

async function checkByteOrder(source: ByteSource, zip: ZipArchive, folder: string): Promise<void> {
  const name = `${folder}byteorder`;
  if (!zip.entries.has(name)) return;
  const order = new TextDecoder('latin1').decode(await zip.read(name, 64));
  if (order !== 'little') throw new PenjingError('E_FORMAT', `${source.uri} was written in ${JSON.stringify(order)} byte order, only little is read`, { hint: 'Save it on a little-endian machine.' });
}

/** One pickle of an archive. */
export async function readPickle(zip: ZipArchive, name: string): Promise<PyValue> {
  const uri = `${zip.source.uri} (${name})`;
  const bytes = await zip.read(name);
  try {
    return unpickle(bytes, torchRules(uri), uri).value;
  } catch (error) {
    if (error instanceof PickleEndsEarly) throw invalidPickle(uri, 'it ends before it is complete', error);
    throw error;
  }
}
