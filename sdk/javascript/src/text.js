// UTF-8 in both directions: not every engine that plugins run in has TextDecoder and TextEncoder.

const REPLACEMENT = "\uFFFD";

/**
 * Bytes as text; what is not UTF-8 is replaced.
 * @param {Uint8Array} bytes
 */
export function decodeUtf8(bytes) {
  if (typeof TextDecoder !== "undefined") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const [point, length] = decodeOne(bytes, at);
    text += point === null ? REPLACEMENT : String.fromCodePoint(point);
    at += length;
  }
  return text;
}

/** One code point and how long it is; `null` for what is none, and how much of it to pass over. */
function decodeOne(bytes, at) {
  const first = bytes[at];
  if (first < 0x80) return [first, 1];
  const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length === 0) return [null, 1];
  let point = first & (0xff >> (length + 1));
  for (let index = 1; index < length; index += 1) {
    const next = bytes[at + index];
    const least = index > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const most = index > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (next === undefined || next < least || next > most) return [null, index];
    point = (point << 6) | (next & 0x3f);
  }
  return [point, length];
}

/**
 * Text as bytes.
 * @param {string} text
 */
export function encodeUtf8(text) {
  if (typeof TextEncoder !== "undefined") return new TextEncoder().encode(text);
  const bytes = [];
  for (const letter of text) {
    let point = letter.codePointAt(0);
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
    else {
      if (point < 0x10000) bytes.push(0xe0 | (point >> 12));
      else bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f));
      bytes.push(0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    }
  }
  return Uint8Array.from(bytes);
}

/**
 * Text or bytes, as bytes.
 * @param {string | Uint8Array} content
 */
export function asBytes(content) {
  return typeof content === "string" ? encodeUtf8(content) : content;
}
