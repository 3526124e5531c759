// Custom sections of a finished component.

/** The section that the host reads a plugin's manifest from. */
export const MANIFEST = "windlass-manifest";

const COMPONENT = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

/**
 * The component with one custom section more, at its end.
 * @param {Uint8Array} component
 * @param {string} name
 * @param {string} text
 */
export function withSection(component, name, text) {
  if (!COMPONENT.every((byte, index) => component[index] === byte)) {
    throw new Error("this is no WebAssembly component");
  }
  const label = Buffer.from(name);
  const body = Buffer.concat([leb128(label.length), label, Buffer.from(text)]);
  return Buffer.concat([component, Buffer.of(0), leb128(body.length), body]);
}

function leb128(value) {
  const bytes = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return Buffer.from(bytes);
}
