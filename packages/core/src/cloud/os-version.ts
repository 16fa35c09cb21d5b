// Versions of balenaOS ("2.38.0+rev1", "5.1.20") and how one is asked for: exact, ^, ~ or latest.

/** What `balena.image.download.version` may say; for the schema. */
export const versionSpecPattern =
  '^(latest|default|[\\^~]\\d{1,9}(\\.\\d{1,9}){0,2}|\\d{1,9}\\.\\d{1,9}\\.\\d{1,9}([-+][0-9A-Za-z.+-]{1,60})?)$';

interface OsVersion {
  readonly text: string;
  /** Major, minor, patch and balena's revision: "2.38.0+rev1" is [2, 38, 0, 1]. */
  readonly order: readonly [number, number, number, number];
  /** A release for everybody: no prerelease, no development variant. */
  readonly isProduction: boolean;
}

/** Undefined for what is no version, so that odd releases of a server are passed over. */
function parseOsVersion(text: string): OsVersion | undefined {
  const found = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?(?:\+([0-9A-Za-z.-]+))?$/.exec(text);
  if (found === null) return undefined;
  const [, major, minor, patch, prerelease, build = ''] = found;
  const parts = build.split('.');
  const revision = parts.map((part) => /^rev(\d{1,9})$/.exec(part)?.[1]).find((digits) => digits !== undefined);
  return {
    text,
    order: [Number(major), Number(minor), Number(patch), Number(revision ?? 0)],
    isProduction: prerelease === undefined && !parts.includes('dev'),
  };
}

/**
 * The newest of the `available` versions that `spec` asks for; undefined where there is none. `^5.1` is 5.1.0 or newer below 6, `~5.1`
 * below 5.2, `latest` (or `default`) the newest of all; prereleases and development variants are taken only by their exact name. An
 * exact version without a revision stands for its newest revision.
 */
export function chooseOsVersion(spec: string, available: readonly string[]): string | undefined {
  if (!spec.match(versionSpecPattern)) return undefined;
  const exact = available.find((text) => text === spec || text === `${spec}.prod`);
  if (exact !== undefined) return exact;
  // What names a revision or a prerelease means just that one.
  if (/^\d.*[-+]/.test(spec)) return undefined;
  const isWanted = matcherOf(spec);
  return available
    .map(parseOsVersion)
    .filter((version): version is OsVersion => version?.isProduction === true && isWanted(version.order))
    .reduce<OsVersion | undefined>(
      (best, version) => (best === undefined || compare(version.order, best.order) > 0 ? version : best),
      undefined,
    )?.text;
}

type Order = readonly number[];

function matcherOf(spec: string): (order: Order) => boolean {
  if (spec === 'latest' || spec === 'default') return () => true;
  const given = spec
    .replace(/^[\^~]/, '')
    .split('.')
    .map(Number);
  const [major = 0, minor = 0, patch = 0] = given;
  const first = [major, minor, patch, 0];
  const end = endOf(spec.charAt(0), given);
  return (order) => compare(order, first) >= 0 && compare(order, end) < 0;
}

/** The first version beyond the range, by the rules of npm's semver ("caret ranges", "tilde ranges"). */
function endOf(operator: string, given: readonly number[]): Order {
  const [major = 0, minor = 0, patch = 0] = given;
  if (operator === '^') {
    if (major > 0 || given.length === 1) return [major + 1, 0, 0, 0];
    return minor > 0 || given.length === 2 ? [0, minor + 1, 0, 0] : [0, 0, patch + 1, 0];
  }
  if (operator === '~') return given.length === 1 ? [major + 1, 0, 0, 0] : [major, minor + 1, 0, 0];
  return [major, minor, patch + 1, 0];
}

function compare(a: Order, b: Order): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
