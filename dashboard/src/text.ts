// Texts that somebody hostile may have chosen, and numbers for people.

// Controls, bidirectional and invisible format characters, separators, tags, lone surrogates: shown by their number.
const invisible =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]|\p{Cs}/gu;

/** One line in which nothing is hidden and nothing runs the other way. */
export function visible(text: string, most = 2000): string {
  const cut = text.length > most ? `${text.slice(0, most)}\u2026` : text;
  return cut.replace(invisible, (c) => `\u27e8U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}

/** RFC 3492; undefined where it is none. */
function decodeLabel(label: string): string | undefined {
  const input = label.slice(4);
  const dash = input.lastIndexOf("-");
  const out = dash > 0 ? [...input.slice(0, dash)].map((c) => c.codePointAt(0)!) : [];
  let n = 128, i = 0, bias = 72;
  for (let at = dash > 0 ? dash + 1 : 0; at < input.length;) {
    const before = i;
    for (let w = 1, k = 36; ; k += 36) {
      const c = input.charCodeAt(at++);
      const digit = c >= 97 && c <= 122 ? c - 97 : c >= 48 && c <= 57 ? c - 22 : -1;
      if (digit < 0) return undefined;
      i += digit * w;
      if (i > 0x10ffff * 64) return undefined;
      const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
      if (digit < t) break;
      w *= 36 - t;
    }
    const size = out.length + 1;
    let delta = before === 0 ? Math.floor((i - before) / 700) : Math.floor((i - before) / 2);
    delta += Math.floor(delta / size);
    let k = 0;
    for (; delta > 455; k += 36) delta = Math.floor(delta / 35);
    bias = k + Math.floor((36 * delta) / (delta + 38));
    n += Math.floor(i / size);
    i %= size;
    if (n > 0x10ffff || (n >= 0xd800 && n < 0xe000)) return undefined;
    out.splice(i++, 0, n);
  }
  return String.fromCodePoint(...out);
}

/** The name as its letters read, where it has A-labels that say something; else undefined. */
export function readAs(name: string): string | undefined {
  if (!name.includes("xn--")) return undefined;
  return name.split(".").map((label) => (label.startsWith("xn--") ? decodeLabel(label) ?? label : label)).join(".");
}

/** Long labels cut in the middle, then the name in front: its right end says whose it is. */
export function shortName(name: string, most = 60): string {
  const cut = name.split(".").map((l) => (l.length > 26 ? `${l.slice(0, 14)}\u2026${l.slice(-8)}` : l)).join(".");
  return cut.length > most ? `\u2026${cut.slice(-most)}` : cut;
}

export function count(value: number): string { return value.toLocaleString("en-US"); }

export function rate(value: number): string {
  return value === 0 ? "0" : value < 0.1 ? "<0.1" : value < 10 ? value.toFixed(1) : count(Math.round(value));
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; ++unit; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(milliseconds: number): string {
  const s = Math.max(0, Math.round(milliseconds / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function ago(time: string, now = Date.now()): string {
  const past = now - Date.parse(time);
  return past < 2000 ? "now" : `${duration(past)} ago`;
}

export function clock(time: string): string {
  const at = new Date(time);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function plural(n: number, one: string, many = `${one}s`): string { return `${count(n)} ${n === 1 ? one : many}`; }
