// The last net below everything that is printed, logged or sent. No secret should come this far: plans and events have none by
// design. But programs quote their arguments and files their lines, and a new message is written easily.

const mask = '[secret]';

/** Names under which balenaOS, NetworkManager, wpa_supplicant and connman keep secrets, with or without quotes around. */
const names =
  '(?:wep[-_]?key\\d?|psk|sae_password|(?:private[-_]key[-_]|phase2-private-key-)?pass(?:phrase|word|wd)|(?:device|provisioning)?[-_]?api[-_]?key|vpn_?key|secrets?|tokens?)';

const rules: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // The user part of a URL (RFC 3986, 3.2.1), also where the scheme before it is damaged.
  [/(\/\/)[^\s/?#"'<>]*@/g, `$1${mask}@`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, mask],
  // GRUB's menu (GRUB manual, 17.1): the command, a user, the password or its hash.
  [/^([ \t]*password(?:_pbkdf2)?[ \t]+(?![=:])\S+[ \t]+)\S+(?=[ \t]*$)/gm, `$1${mask}`],
  [/\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?:basic|bearer|token)\s+)?[^\s"',]+/gi, `$1${mask}`],
  [
    new RegExp(`(["']?${names}["']?\\s*[=:]\\s*)(?!\\[secret\\])("(?:[^"\\\\]|\\\\.)*"|'[^']*'|[^\\s,;}\\]]+)`, 'gi'),
    `$1${mask}`,
  ],
];

/** The text without what looks like a secret. Doing it twice changes nothing more. */
export function redact(text: string): string {
  return rules.reduce((current, [pattern, replacement]) => current.replace(pattern, replacement), text);
}

/** Plain data with every text in it redacted. */
export function redactData<T>(value: T): T {
  if (typeof value === 'string') return redact(value) as T;
  if (Array.isArray(value)) return value.map(redactData) as T;
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, redactData(part)])) as T;
}
