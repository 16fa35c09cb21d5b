// The old system's hostname in the new one's config.json.

export type HostnameChoice =
  | { readonly kind: 'keep'; readonly hostname: string }
  /** `reason` completes the sentence "its hostname is not kept: …". */
  | { readonly kind: 'leave'; readonly reason: string; readonly isExpected: boolean };

/** One label of a name (RFC 1123, 2.1): what Linux takes, and what a network can look up. */
const label = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;
const longestHostname = 64;

/** Names that images of distributions give to every machine: they tell no device from another. */
const everyones = new Set([
  'arm',
  'beaglebone',
  'beagleboard',
  'debian',
  'dietpi',
  'linux',
  'localhost',
  'odroid',
  'raspberrypi',
  'raspbian',
  'ubuntu',
]);

/** Whether the hostname goes into a config.json, given as text that was checked. */
export function chooseHostname(hostname: string, configJson: string): HostnameChoice {
  const { hostname: given } = JSON.parse(configJson) as { hostname?: unknown };
  if (given !== undefined && given !== null)
    return { kind: 'leave', reason: 'config.json has one of its own', isExpected: true };
  if (everyones.has(hostname.toLowerCase()))
    return { kind: 'leave', reason: 'every new machine has this one', isExpected: true };
  if (hostname.length > longestHostname || !hostname.split('.').every((part) => label.test(part)))
    return { kind: 'leave', reason: 'the new system would not take it', isExpected: false };
  return { kind: 'keep', hostname };
}

/** The file with the hostname; all its other bytes stay as they are, numbers of any length among them. */
export function withHostname(configJson: string, hostname: string): string {
  // Without a null that would come after it and count instead.
  const { hostname: given, ...others } = JSON.parse(configJson) as { hostname?: unknown };
  if (given === null) return `${JSON.stringify({ ...others, hostname }, null, 2)}\n`;
  return configJson.replace('{', () => `{\n  "hostname": ${JSON.stringify(hostname)},`);
}
