/** Something wrong, or worth saying, that is known before the machine is touched. */
export interface Finding {
  /** `error` refuses the migration, `warning` is only shown. */
  readonly severity: 'error' | 'warning';
  /** Stable kebab-case name, for scripts. */
  readonly code: string;
  /** Where it was found: `balena-migrate.yml:12:3 migrate.mode`, a path, or the name of a fact. */
  readonly where: string;
  /** One sentence saying what is wrong. */
  readonly message: string;
  /** One sentence saying how to cure it, naming the setting that overrides it where there is one. */
  readonly hint: string;
}

/** True when at least one finding refuses the migration. */
export function refuses(findings: readonly Finding[]): boolean {
  return findings.some((finding) => finding.severity === 'error');
}
