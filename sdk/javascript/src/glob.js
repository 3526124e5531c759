// Globs of listings, natively: the rules of the host.

const SPECIAL = /[.*+?^${}()|[\]\\]/g;

/**
 * A glob as a regular expression. `*` and `?` stay within a folder, `**` crosses them where it is a
 * whole part of the path, `[a-z]` and `[!a-z]` are one character, `{a,b}` alternatives. Throws an `Error`
 * for one that is broken.
 */
export function globToRegExp(glob) {
  let out = "";
  let braces = 0;
  for (let at = 0; at < glob.length; at += 1) {
    const rest = glob.slice(at);
    const starts = at === 0 || glob[at - 1] === "/";
    if (starts && /^\*\*\//.test(rest)) {
      out += "(?:.*/)?";
      at += 2;
    } else if (starts && rest === "**") {
      out += ".*";
      at += 1;
    } else if (rest[0] === "*") {
      out += "[^/]*";
    } else if (rest[0] === "?") {
      out += "[^/]";
    } else if (rest[0] === "[") {
      const [whole, not, letters] = /^\[([!^]?)(\]?[^\]]*)\]/.exec(rest) ?? broken(glob, "a [ is not closed");
      const escaped = letters.replace(/[\\\]^]/g, "\\$&");
      out += not ? `[^/${escaped}]` : `[${escaped}]`;
      at += whole.length - 1;
    } else if (rest[0] === "{") {
      braces += 1;
      out += "(?:";
    } else if (rest[0] === "}") {
      if (braces === 0) broken(glob, "a } was not opened");
      braces -= 1;
      out += ")";
    } else if (rest[0] === "," && braces > 0) {
      out += "|";
    } else if (rest[0] === "\\" && rest.length > 1) {
      out += rest[1].replace(SPECIAL, "\\$&");
      at += 1;
    } else {
      out += rest[0].replace(SPECIAL, "\\$&");
    }
  }
  if (braces > 0) broken(glob, "a { is not closed");
  return new RegExp(`^${out}$`, "s");
}

function broken(glob, why) {
  throw new Error(`the glob ${glob} is broken: ${why}`);
}
