import type { OperatingSystem } from './facts.ts';

/** Source systems that were really migrated by the tests of this project. Others are judged by what they can do. */
export const testedSystems: readonly { readonly id: string; readonly versions: readonly string[] }[] = [
  { id: 'debian', versions: ['12'] },
];

export function isTested(os: OperatingSystem): boolean {
  return testedSystems.some((row) => row.id === os.id && row.versions.includes(os.versionId));
}
