// Zstandard, as in RFC 8878: the usual compression of our GeoTIFFs, which browsers do not undo for pages.
const MAGIC = 0xfd2fb528;
const LITERAL_BITS = [...Array(16).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BITS = [...Array(32).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const LITERAL_BASES = bases(LITERAL_BITS, 0);
const MATCH_BASES = bases(MATCH_BITS, 3);
// Probabilities that need not be sent; -1 stands for less than one.
const USUAL_LITERALS = [
  4, 3, ...Array(11).fill(2), 1, 1, 1, ...Array(9).fill(2), 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
];
const USUAL_MATCHES = [1, 4, 3, ...Array(6).fill(2), ...Array(37).fill(1), ...Array(7).fill(-1)];
const USUAL_OFFSETS = [...Array(6).fill(1), 2, 2, 2, ...Array(15).fill(1), ...Array(5).fill(-1)];

function bases(bits, first) {
  let next = first;
  return bits.map((each) => {
    const base = next;
    next += 2 ** each;
    return base;
  });
}

function check(holds) {
  if (!holds) throw new Error("damaged or unknown Zstandard data");
}

function highestBit(value) {
  return 31 - Math.clz32(value);
}

// Bits from the first byte on, the lowest of each byte first.
class Forward {
  constructor(data, at) {
    Object.assign(this, { data, start: at, bit: 0 });
  }

  read(count) {
    let value = 0;
    for (let i = 0; i < count; i += 1, this.bit += 1) {
      value |= ((this.data[this.start + (this.bit >> 3)] >> (this.bit & 7)) & 1) << i;
    }
    return value;
  }

  get end() {
    return this.start + ((this.bit + 7) >> 3);
  }
}

// Bits from the last one that is set on, backwards; beyond the first byte there are zeros.
class Backward {
  constructor(data, start, end) {
    check(end > start && data[end - 1] !== 0);
    this.data = data;
    this.start = start;
    this.left = (end - start - 1) * 8 + highestBit(data[end - 1]);
  }

  // The next bits without taking them, 24 at most.
  peek(count) {
    const low = this.left - count;
    if (low < 0) return this.left <= 0 ? 0 : (this.bitsAt(0, this.left) << -low) >>> 0;
    return this.bitsAt(low, count);
  }

  bitsAt(low, count) {
    const { data } = this;
    const at = this.start + (low >> 3);
    const word = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24);
    return (word >>> (low & 7)) & ((1 << count) - 1);
  }

  read(count) {
    if (count > 16) {
      const high = this.read(count - 16);
      return high * 65536 + this.read(16);
    }
    const value = this.peek(count);
    this.left -= count;
    return value;
  }
}

// Table of states for probabilities of symbols, `log` bits wide.
function stateTable(probabilities, log) {
  const size = 1 << log;
  const table = { log, symbols: new Uint8Array(size), bits: new Uint8Array(size), bases: new Uint16Array(size) };
  const next = probabilities.map((each) => Math.abs(each));
  let high = size;
  probabilities.forEach((each, symbol) => {
    if (each === -1) table.symbols[(high -= 1)] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  probabilities.forEach((each, symbol) => {
    for (let i = 0; i < each; i += 1) {
      table.symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at >= high);
    }
  });
  for (let state = 0; state < size; state += 1) {
    const count = next[table.symbols[state]]++;
    table.bits[state] = log - highestBit(count);
    table.bases[state] = (count << table.bits[state]) - size;
  }
  return table;
}

function oneState(symbol) {
  return { log: 0, symbols: [symbol], bits: [0], bases: [0] };
}

// A table as it is described in the data: [table, where the description ends].
function readTable(data, at, mostLog) {
  const input = new Forward(data, at);
  const log = input.read(4) + 5;
  check(log <= mostLog);
  const probabilities = [];
  let left = 1 << log;
  while (left > 0) {
    const bits = highestBit(left + 1) + 1;
    const low = (1 << (bits - 1)) - 1;
    const spare = (1 << bits) - 2 - left;
    let value = input.read(bits);
    if ((value & low) < spare) {
      input.bit -= 1;
      value &= low;
    } else if (value > low) value -= spare;
    probabilities.push(value - 1);
    left -= Math.abs(value - 1);
    if (value === 1) {
      let zeros;
      do {
        zeros = input.read(2);
        for (let i = 0; i < zeros; i += 1) probabilities.push(0);
      } while (zeros === 3);
    }
    check(left >= 0 && probabilities.length <= 256);
  }
  return [stateTable(probabilities, log), input.end];
}

// Weights of Huffman codes, themselves compressed with two states in turn.
function readWeights(data, start, end) {
  const [table, at] = readTable(data, start, 6);
  const input = new Backward(data, at, end);
  const weights = [];
  const states = [input.read(table.log), input.read(table.log)];
  for (let turn = 0; weights.length < 255; turn ^= 1) {
    weights.push(table.symbols[states[turn]]);
    states[turn] = table.bases[states[turn]] + input.read(table.bits[states[turn]]);
    if (input.left < 0) {
      weights.push(table.symbols[states[turn ^ 1]]);
      break;
    }
  }
  return weights;
}

// Huffman codes as they are described in the data: [codes, where the description ends].
function readCodes(data, at) {
  const head = data[at];
  const packed = (_, i) => (data[at + 1 + (i >> 1)] >> (i & 1 ? 0 : 4)) & 15;
  const isPacked = head >= 128;
  const end = at + 1 + (isPacked ? (head - 126) >> 1 : head);
  const weights = isPacked ? Array.from({ length: head - 127 }, packed) : readWeights(data, at + 1, end);
  const sum = weights.reduce((total, weight) => total + ((1 << weight) >> 1), 0);
  check(sum > 0);
  const log = highestBit(sum) + 1;
  const rest = (1 << log) - sum;
  check(log <= 11 && (rest & (rest - 1)) === 0);
  weights.push(highestBit(rest) + 1);
  const codes = { log, symbols: new Uint8Array(1 << log), bits: new Uint8Array(1 << log) };
  let filled = 0;
  for (let weight = 1; weight <= log; weight += 1) {
    weights.forEach((each, symbol) => {
      if (each !== weight) return;
      const next = filled + (1 << (weight - 1));
      codes.symbols.fill(symbol, filled, next);
      codes.bits.fill(log + 1 - weight, filled, next);
      filled = next;
    });
  }
  return [codes, end];
}

function decodeCodes(codes, data, [start, end], out) {
  const input = new Backward(data, start, end);
  for (let i = 0; i < out.length; i += 1) {
    const code = input.peek(codes.log);
    out[i] = codes.symbols[code];
    input.left -= codes.bits[code];
  }
  check(input.left === 0);
}

// The bytes that sequences copy from, and where they end: [literals, end].
function readLiterals(data, at, state) {
  const kind = data[at] & 3;
  const format = (data[at] >> 2) & 3;
  if (kind < 2) {
    const headBytes = format === 1 ? 2 : format === 3 ? 3 : 1;
    const size = new Forward(data, at).read(8 * headBytes) >> (headBytes === 1 ? 3 : 4);
    const start = at + headBytes;
    if (kind === 0) return [data.subarray(start, start + size), start + size];
    return [new Uint8Array(size).fill(data[start]), start + 1];
  }
  const sizeBits = [10, 10, 14, 18][format];
  const input = new Forward(data, at);
  input.bit = 4;
  const literals = new Uint8Array(input.read(sizeBits));
  const packedSize = input.read(sizeBits);
  let start = input.end;
  const end = start + packedSize;
  if (kind === 2) [state.codes, start] = readCodes(data, start);
  check(state.codes !== null && end <= data.length);
  if (format === 0) decodeCodes(state.codes, data, [start, end], literals);
  else decodeFour(state.codes, data, [start, end], literals);
  return [literals, end];
}

function decodeFour(codes, data, [start, end], literals) {
  const part = (literals.length + 3) >> 2;
  let from = start + 6;
  for (let i = 0; i < 4; i += 1) {
    const to = i === 3 ? end : from + (data[start + 2 * i] | (data[start + 2 * i + 1] << 8));
    decodeCodes(codes, data, [from, to], literals.subarray(i * part, i === 3 ? literals.length : (i + 1) * part));
    from = to;
  }
}

// How many sequences there are, and where that number ends.
function readCount(data, at) {
  const first = data[at];
  if (first < 128) return [first, at + 1];
  if (first < 255) return [((first - 128) << 8) + data[at + 1], at + 2];
  return [data[at + 1] + (data[at + 2] << 8) + 0x7f00, at + 3];
}

function readTables(data, at, state) {
  const modes = data[at];
  let end = at + 1;
  const usual = { literals: [USUAL_LITERALS, 6, 9], offsets: [USUAL_OFFSETS, 5, 8], matches: [USUAL_MATCHES, 6, 9] };
  Object.entries(usual).forEach(([name, [probabilities, log, mostLog]], i) => {
    const mode = (modes >> (6 - 2 * i)) & 3;
    if (mode === 0) state[name] = stateTable(probabilities, log);
    else if (mode === 1) state[name] = oneState(data[end++]);
    else if (mode === 2) [state[name], end] = readTable(data, end, mostLog);
    check(state[name] !== null);
  });
  return end;
}

// How far back a match lies; the last three distances can be named again.
function distance(value, hasLiterals, recent) {
  if (value > 3) {
    recent.unshift(value - 3);
    recent.pop();
    return recent[0];
  }
  const which = value - (hasLiterals ? 1 : 0);
  const found = which === 3 ? recent[0] - 1 : recent[which];
  if (which > 0) {
    recent.splice(Math.min(which, 2), 1);
    recent.unshift(found);
  }
  return found;
}

function readBlock(data, state, out, start) {
  const [literals, afterLiterals] = readLiterals(data, 0, state);
  let [left, at] = readCount(data, afterLiterals);
  let to = start;
  let used = 0;
  if (left > 0) {
    at = readTables(data, at, state);
    const input = new Backward(data, at, data.length);
    const tables = [state.literals, state.offsets, state.matches];
    const states = tables.map((table) => input.read(table.log));
    for (; left > 0; left -= 1) {
      const [literal, offset, match] = tables.map((table, i) => table.symbols[states[i]]);
      const value = 2 ** offset + input.read(offset);
      const length = MATCH_BASES[match] + input.read(MATCH_BITS[match]);
      const count = LITERAL_BASES[literal] + input.read(LITERAL_BITS[literal]);
      const back = distance(value, count > 0, state.recent);
      check(back > 0 && to + count + length <= out.length && used + count <= literals.length);
      for (let i = 0; i < count; i += 1) out[to++] = literals[used++];
      check(back <= to);
      for (let i = 0; i < length; i += 1, to += 1) out[to] = out[to - back];
      if (left > 1) {
        for (const i of [0, 2, 1]) states[i] = tables[i].bases[states[i]] + input.read(tables[i].bits[states[i]]);
      }
    }
    check(input.left === 0);
  }
  check(to + literals.length - used <= out.length);
  out.set(literals.subarray(used), to);
  return to + literals.length - used;
}

// Undoes the compression of one frame, which must hold `size` bytes.
export function unzstd(data, size) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  check(data.length > 6 && view.getUint32(0, true) === MAGIC);
  const isSingle = (data[4] & 32) !== 0;
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][data[4] >> 6];
  let at = 5 + (isSingle ? 0 : 1) + [0, 1, 2, 4][data[4] & 3] + sizeBytes;
  const state = { codes: null, literals: null, offsets: null, matches: null, recent: [1, 4, 8] };
  const out = new Uint8Array(size);
  let to = 0;
  for (let isLast = false; !isLast; ) {
    check(at + 3 <= data.length);
    const head = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16);
    const [kind, length] = [(head >> 1) & 3, head >> 3];
    isLast = (head & 1) === 1;
    at += 3;
    check(kind < 3 && (kind === 2 || to + length <= size));
    const packed = data.subarray(at, at + (kind === 1 ? 1 : length));
    if (kind === 2) to = readBlock(packed, state, out, to);
    else {
      if (kind === 0) out.set(packed, to);
      else out.fill(packed[0], to, to + length);
      to += length;
    }
    at += packed.length;
  }
  check(to === size);
  return out;
}
