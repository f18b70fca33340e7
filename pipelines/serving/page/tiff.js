// TIFF and GeoTIFF as far as they are shown: three bands at most, whatever their type.
import { unzstd } from "./zstd.js";

const TAGS = {
  subfile: 254, width: 256, height: 257, bits: 258, compression: 259, photometric: 262, stripOffsets: 273,
  samples: 277, rowsPerStrip: 278, stripSizes: 279, planar: 284, predictor: 317, tileWidth: 322, tileHeight: 323,
  tileOffsets: 324, tileSizes: 325, format: 339, metadata: 42112, nodata: 42113,
};
const VALUE_BYTES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8 };
const KINDS = {
  "1-8": Uint8Array, "1-16": Uint16Array, "1-32": Uint32Array, "2-8": Int8Array, "2-16": Int16Array,
  "2-32": Int32Array, "3-32": Float32Array, "3-64": Float64Array,
};
const PLAIN = [0, 1, 2]; // photometric interpretations: grey both ways, and colours
const MOST_SAMPLED = 50_000;
const TAIL = 0.02; // of the values, on each side, shown as black and white
const MOST_PIXELS = 2 ** 24; // that are shown: of larger images an overview is, where there is one
const BLOCKS_A_TURN = 8; // so that the page goes on answering

function check(holds, what) {
  if (!holds) throw new Error(`TIFF: ${what}`);
}

class Directories {
  constructor(buffer) {
    this.view = new DataView(buffer);
    this.isLittle = this.view.getUint16(0) === 0x4949;
    this.isBig = this.view.getUint16(2, this.isLittle) === 43;
    this.all = [];
    let at = this.isBig ? this.large(8) : this.view.getUint32(4, this.isLittle);
    while (at !== 0 && this.all.length < 32) at = this.readOne(at);
    check(this.all.length > 0, "nothing in it");
  }

  large(at) {
    return Number(this.view.getBigUint64(at, this.isLittle));
  }

  readOne(start) {
    const count = this.isBig ? this.large(start) : this.view.getUint16(start, this.isLittle);
    const [head, size] = this.isBig ? [8, 20] : [2, 12];
    const entries = new Map();
    for (let i = 0; i < count; i += 1) {
      const at = start + head + i * size;
      entries.set(this.view.getUint16(at, this.isLittle), at);
    }
    this.all.push(entries);
    const next = start + head + count * size;
    return this.isBig ? this.large(next) : this.view.getUint32(next, this.isLittle);
  }

  // Values of a tag; an empty list where it is missing.
  values(entries, name) {
    const at = entries.get(TAGS[name]);
    if (at === undefined) return [];
    const type = this.view.getUint16(at + 2, this.isLittle);
    const count = this.isBig ? this.large(at + 4) : this.view.getUint32(at + 4, this.isLittle);
    const size = VALUE_BYTES[type];
    check(size !== undefined, "an unknown type");
    const field = at + (this.isBig ? 12 : 8);
    const isInside = count * size <= (this.isBig ? 8 : 4);
    const start = isInside ? field : this.isBig ? this.large(field) : this.view.getUint32(field, this.isLittle);
    check(start + count * size <= this.view.byteLength, "cut off");
    if (type === 2) return [new TextDecoder().decode(new Uint8Array(this.view.buffer, start, count)).replace(/\0.*$/s, "")];
    return Array.from({ length: count }, (_, i) => this.value(type, start + i * size));
  }

  value(type, at) {
    if (type === 1 || type === 7) return this.view.getUint8(at);
    if (type === 3) return this.view.getUint16(at, this.isLittle);
    if (type === 4 || type === 13) return this.view.getUint32(at, this.isLittle);
    if (type === 16 || type === 18) return this.large(at);
    return NaN; // not needed here
  }
}

// How one image of the file is laid out.
function layout(file, entries) {
  const one = (name, fallback) => file.values(entries, name)[0] ?? fallback;
  const isTiled = entries.has(TAGS.tileWidth);
  const [width, height] = [one("width"), one("height")];
  const found = {
    width, height, isTiled,
    samples: one("samples", 1), bits: one("bits", 1), format: one("format", 1),
    compression: one("compression", 1), photometric: one("photometric", 1), predictor: one("predictor", 1),
    isPlanar: one("planar", 1) === 2,
    blockWidth: isTiled ? one("tileWidth") : width,
    blockHeight: isTiled ? one("tileHeight") : Math.min(one("rowsPerStrip", height), height),
    offsets: file.values(entries, isTiled ? "tileOffsets" : "stripOffsets"),
    sizes: file.values(entries, isTiled ? "tileSizes" : "stripSizes"),
  };
  check(width > 0 && height > 0 && found.blockWidth > 0 && found.blockHeight > 0, "no size");
  check(found.bits === 1 || KINDS[`${found.format}-${found.bits}`], `${found.bits} bits a sample`);
  check(PLAIN.includes(found.photometric) || found.photometric === 4, "colours of another kind");
  return found;
}

async function inflate(data) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function unpackBits(data, size) {
  const out = new Uint8Array(size);
  let to = 0;
  for (let at = 0; at < data.length && to < size; ) {
    const head = data[at++];
    if (head < 128) {
      out.set(data.subarray(at, at + Math.min(head + 1, size - to)), to);
      at += head + 1;
      to += head + 1;
    } else if (head > 128) {
      out.fill(data[at++], to, to + 257 - head);
      to += 257 - head;
    }
  }
  return out;
}

function unpackWords(data, size) {
  const [CLEAR, END] = [256, 257];
  const out = new Uint8Array(size);
  const [starts, lengths] = [new Uint32Array(4097), new Uint32Array(4097)]; // where in `out` a word lies
  let [to, next, bits, previous, at] = [0, 258, 9, -1, 0];
  while (to < size) {
    const byte = at >> 3;
    check(byte < data.length, "cut off");
    const word = (data[byte] << 16) | ((data[byte + 1] ?? 0) << 8) | (data[byte + 2] ?? 0);
    const code = (word >> (24 - bits - (at & 7))) & ((1 << bits) - 1);
    at += bits;
    if (code === END) break;
    if (code === CLEAR) {
      [next, bits, previous] = [258, 9, -1];
      continue;
    }
    check(code < 256 || (code > END && code <= next && previous >= 0), "damaged");
    const start = to;
    if (previous >= 0) {
      [starts[next], lengths[next]] = [previous, start - previous + 1];
      next += 1;
    }
    const length = code < 256 ? 1 : lengths[code];
    if (code < 256) out[to] = code;
    else for (let i = 0; i < length; i += 1) out[to + i] = out[starts[code] + i];
    to += length;
    previous = start;
    if (next >= (1 << bits) - 1 && bits < 12) bits += 1;
  }
  return out;
}

async function unpack(data, size, compression) {
  if (compression === 1) return data.slice(0, size);
  if (compression === 5) return unpackWords(data, size);
  if (compression === 8 || compression === 32946) return inflate(data);
  if (compression === 32773) return unpackBits(data, size);
  if (compression === 50000) return unzstd(data, size);
  throw new Error(`TIFF: compression ${compression}`);
}

function swapBytes(data, size) {
  for (let at = 0; at + size <= data.length; at += size) data.subarray(at, at + size).reverse();
}

// Differences along rows become values again; `step` samples belong to one pixel.
function addUp(values, rowLength, step) {
  for (let start = 0; start < values.length; start += rowLength) {
    for (let i = start + step; i < start + rowLength; i += 1) values[i] += values[i - step];
  }
}

// Rows of floating-point numbers whose bytes lie apart, the highest of all first.
function gatherBytes(data, rowLength, size) {
  const row = new Uint8Array(rowLength * size);
  for (let start = 0; start + row.length <= data.length; start += row.length) {
    row.set(data.subarray(start, start + row.length));
    for (let i = 0; i < rowLength; i += 1) {
      for (let byte = 0; byte < size; byte += 1) data[start + i * size + byte] = row[(size - 1 - byte) * rowLength + i];
    }
  }
}

function spreadBits(data, width, height) {
  const rowBytes = (width + 7) >> 3;
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return (data[y * rowBytes + (x >> 3)] >> (7 - (x & 7))) & 1;
  });
}

// One block's samples, pixel by pixel.
async function readBlock(file, image, number, height) {
  const perPixel = image.isPlanar ? 1 : image.samples;
  const rowLength = image.blockWidth * perPixel;
  const bytes = image.bits / 8;
  const size = image.bits === 1 ? ((rowLength + 7) >> 3) * height : rowLength * height * bytes;
  if (!image.sizes[number]) return null; // a hole
  check(image.offsets[number] + image.sizes[number] <= file.view.byteLength, "cut off");
  const packed = new Uint8Array(file.view.buffer, image.offsets[number], image.sizes[number]);
  const data = await unpack(packed, size, image.compression);
  check(data.length === size, "cut off");
  if (image.bits === 1) return spreadBits(data, rowLength, height);
  if (image.predictor === 3) {
    addUp(data, rowLength * bytes, perPixel);
    gatherBytes(data, rowLength, bytes);
  } else if (!file.isLittle) swapBytes(data, bytes);
  const values = new KINDS[`${image.format}-${image.bits}`](data.buffer, data.byteOffset, rowLength * height);
  if (image.predictor === 2) addUp(values, rowLength, perPixel);
  return values;
}

// Some bands of one image of the file.
async function readBands(file, image, bands, hole) {
  const Kind = image.bits === 1 ? Uint8Array : KINDS[`${image.format}-${image.bits}`];
  const { width, height, blockWidth, blockHeight } = image;
  const out = bands.map(() => new Kind(width * height).fill(hole));
  const across = Math.ceil(width / blockWidth);
  const perPlane = across * Math.ceil(height / blockHeight);
  for (let number = 0; number < (image.isPlanar ? perPlane * image.samples : perPlane); number += 1) {
    const plane = Math.floor(number / perPlane);
    if (image.isPlanar && !bands.includes(plane)) continue;
    const place = number % perPlane;
    const [left, top] = [(place % across) * blockWidth, Math.floor(place / across) * blockHeight];
    const rows = Math.min(blockHeight, height - top);
    const values = await readBlock(file, image, number, image.isTiled ? blockHeight : rows);
    const columns = Math.min(blockWidth, width - left);
    const step = image.isPlanar ? 1 : image.samples;
    bands.forEach((band, i) => {
      if (values === null || (image.isPlanar && band !== plane)) return;
      for (let y = 0; y < rows; y += 1) {
        let from = y * blockWidth * step + (image.isPlanar ? 0 : band);
        for (let x = 0, to = (top + y) * width + left; x < columns; x += 1, to += 1, from += step) out[i][to] = values[from];
      }
    });
    if (number % BLOCKS_A_TURN === 0) await new Promise((resolve) => { setTimeout(resolve); });
  }
  return out;
}

// Names of bands as GDAL keeps them, by their numbers.
function bandNames(text) {
  const names = [];
  for (const item of (text ?? "").matchAll(/<Item name="DESCRIPTION" sample="(\d+)"[^>]*>([^<]*)<\/Item>/g)) {
    names[Number(item[1])] = item[2].trim();
  }
  return names;
}

// Red, green and blue where bands are called so; else the first three, or the first alone.
function shownBands(names, samples, photometric) {
  const called = ["red", "green", "blue"].map((colour) => names.findIndex((name) => name?.toLowerCase() === colour));
  if (called.every((band) => band >= 0 && band < samples)) return called;
  return samples >= 3 || photometric === 2 ? [0, 1, 2] : [0];
}

// The image itself, or the largest of its overviews that is not too large.
function shownDirectory(file) {
  const one = (entries, name) => file.values(entries, name)[0] ?? 0;
  const isFit = (entries) => one(entries, "width") * one(entries, "height") <= MOST_PIXELS;
  const [first, ...others] = file.all;
  return [first, ...others.filter((entries) => one(entries, "subfile") === 1)].find(isFit) ?? first;
}

function maskOf(file, image) {
  return file.all.map((entries) => [entries, file.values(entries, "subfile")[0] ?? 0])
    .filter(([entries, kind]) => kind >= 4 && file.values(entries, "width")[0] === image.width)
    .map(([entries]) => layout(file, entries))[0];
}

// {size: of the image, width, height, bands: values of those that are shown, chosen: their numbers, names, valid,
// isPlain: whether they are colours as they are}.
export async function readTiff(buffer) {
  const file = new Directories(buffer);
  const whole = file.all[0];
  const image = layout(file, shownDirectory(file));
  const names = bandNames(file.values(whole, "metadata")[0]);
  const chosen = shownBands(names, image.samples, image.photometric);
  const nodata = Number.parseFloat(file.values(whole, "nodata")[0] ?? "nan");
  const bands = await readBands(file, image, chosen, Number.isNaN(nodata) ? 0 : nodata);
  const mask = maskOf(file, image);
  const [shown] = mask ? await readBands(file, mask, [0], 0) : [null];
  const isValid = (i) => bands.every((values) => values[i] === values[i] && values[i] !== nodata) && shown?.[i] !== 0;
  const valid = Uint8Array.from({ length: image.width * image.height }, (_, i) => (isValid(i) ? 255 : 0));
  const size = [file.values(whole, "width")[0], file.values(whole, "height")[0]];
  return { size, width: image.width, height: image.height, bands, chosen, names, valid, isPlain: isPlain(image) };
}

const isPlain = (image) => image.bits === 8 && image.format === 1;

// What is shown as black and as white, a band at a time.
export function ranges(raster) {
  if (raster.isPlain) return { isPlain: true, ends: raster.bands.map(() => [0, 255]), bands: raster.chosen };
  const step = Math.max(1, Math.floor(raster.valid.length / MOST_SAMPLED));
  const ends = raster.bands.map((values) => {
    const sample = [];
    for (let i = 0; i < values.length; i += step) if (raster.valid[i]) sample.push(values[i]);
    const sorted = Float64Array.from(sample).sort();
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
    return [at(TAIL), at(1 - TAIL)];
  });
  return { isPlain: false, ends, bands: raster.chosen };
}

// Paints a raster on a canvas; where there is no data it is transparent.
export function paint(raster, limits, canvas) {
  canvas.width = raster.width;
  canvas.height = raster.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(raster.width, raster.height);
  for (let channel = 0; channel < 3; channel += 1) {
    const values = raster.bands[channel] ?? raster.bands[0];
    const [low, high] = limits.ends[channel] ?? limits.ends[0];
    const gain = high > low ? 255 / (high - low) : 0;
    for (let i = 0, to = channel; i < values.length; i += 1, to += 4) picture.data[to] = (values[i] - low) * gain;
  }
  for (let i = 0, to = 3; i < raster.valid.length; i += 1, to += 4) picture.data[to] = raster.valid[i];
  context.putImageData(picture, 0, 0);
}
