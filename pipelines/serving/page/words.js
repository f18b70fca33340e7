// Numbers, sizes and times as people read them.
const BYTES = ["bytes", "kB", "MB", "GB", "TB"];

export function number(value, digits = 3) {
  return new Intl.NumberFormat("en-GB", { maximumSignificantDigits: digits }).format(value);
}

// Two numbers with as many digits as it takes to tell them apart, six at most.
export function apart(low, high) {
  const digits = [3, 4, 5, 6].find((each) => number(low, each) !== number(high, each)) ?? 3;
  return [number(low, digits), number(high, digits)];
}

export function count(value, one, many = `${one}s`) {
  return `${new Intl.NumberFormat("en-GB").format(value)} ${value === 1 ? one : many}`;
}

export function bytes(value) {
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < BYTES.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return unit === 0 ? count(value, "byte") : `${number(size)} ${BYTES[unit]}`;
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${number(seconds, seconds < 10 ? 2 : 3)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

export function moment(text) {
  const at = new Date(text);
  const isToday = at.toDateString() === new Date().toDateString();
  return at.toLocaleString("en-GB", isToday ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export function ordinal(value) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${value}${ending[new Intl.PluralRules("en-GB", { type: "ordinal" }).select(value)]}`;
}
