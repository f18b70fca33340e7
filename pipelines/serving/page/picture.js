// Files as pictures: what browsers show they show, TIFF is read here.
const reader = () => import("./tiff.js"); // fetched when the first TIFF is shown

const TIFF = ["49492a00", "4d4d002a", "49492b00", "4d4d002b"];

// A file's picture: {element, size: [width, height], raster: of a TIFF}; null where it cannot be shown.
export async function decodePicture(blob) {
  const start = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
  const isTiff = TIFF.includes([...start].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  try {
    return isTiff ? await rasterPicture(blob) : await plainPicture(blob);
  } catch {
    return null;
  }
}

async function plainPicture(blob) {
  const element = new Image();
  element.src = URL.createObjectURL(blob);
  try {
    await element.decode();
  } finally {
    URL.revokeObjectURL(element.src);
  }
  return { element, size: [element.naturalWidth, element.naturalHeight], raster: null };
}

async function rasterPicture(blob) {
  const { readTiff } = await reader();
  const raster = await readTiff(await blob.arrayBuffer());
  return { element: document.createElement("canvas"), size: raster.size, raster };
}

// Paints TIFFs, all with one and the same range of values a band, that of the first; returns what was done in words.
export async function paintAlike(pictures) {
  const rasters = pictures.filter((picture) => picture?.raster);
  if (rasters.length === 0) return "";
  const { ranges, paint } = await reader();
  const limits = ranges(rasters[0].raster);
  for (const { element, raster } of rasters) paint(raster, limits, element);
  if (limits.isPlain) return "";
  const named = limits.bands.map((band) => rasters[0].raster.names[band] || `band ${band + 1}`).join(", ");
  return `Shown: ${named}, stretched alike on both sides (2 % to 98 % of the input's values); the file keeps its own values.`;
}
