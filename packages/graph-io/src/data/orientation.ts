/** How a camera was held: the orientation that EXIF tells, and pictures turned upright by it. */
import type { Picture } from './data-source.js';

const TAG = 0x0112;
/** Cameras write some dozens of fields; a directory that claims more is passed over. */
const MAX_FIELDS = 1024;

/** 1 to 8 of a TIFF header with fields, as JPEG and PNG embed it; 1, upright, where it says nothing sound. */
export function exifOrientation(exif: Uint8Array): number {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  if (view.byteLength < 8) return 1;
  const mark = view.getUint16(0);
  if (mark !== 0x4949 && mark !== 0x4d4d) return 1;
  const little = mark === 0x4949;
  const start = view.getUint32(4, little);
  if (start + 2 > view.byteLength) return 1;
  const count = view.getUint16(start, little);
  if (count > MAX_FIELDS) return 1;
  for (let i = 0, at = start + 2; i < count && at + 12 <= view.byteLength; i++, at += 12) {
    if (view.getUint16(at, little) !== TAG) continue;
    const value = view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

interface Turn {
  /** Rows become columns. */
  readonly swapped: boolean;
  /** Of the places in the stored picture: counted from the right, from the bottom. */
  readonly right: boolean;
  readonly bottom: boolean;
}

const turns: Readonly<Record<number, Turn>> = {
  2: { swapped: false, right: true, bottom: false },
  3: { swapped: false, right: true, bottom: true },
  4: { swapped: false, right: false, bottom: true },
  5: { swapped: true, right: false, bottom: false },
  6: { swapped: true, right: false, bottom: true },
  7: { swapped: true, right: true, bottom: true },
  8: { swapped: true, right: true, bottom: false },
};

/** The picture as it is to be looked at. */
export function turnUpright(picture: Picture, orientation: number): Picture {
  const turn = turns[orientation];
  if (!turn) return picture;
  const { channels, data } = picture;
  const [width, height] = turn.swapped ? [picture.height, picture.width] : [picture.width, picture.height];
  const made = new Uint8Array(data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = turn.swapped ? [y, x] : [x, y];
      const from = ((turn.bottom ? picture.height - 1 - row : row) * picture.width + (turn.right ? picture.width - 1 - column : column)) * channels;
      for (let c = 0; c < channels; c++) made[to++] = data[from + c]!;
    }
  }
  return { width, height, channels, data: made };
}
