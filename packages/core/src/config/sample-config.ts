import { annotatedConfig } from './annotated-config.ts';

const introduction = `# balena-migrate.yml: how a machine is migrated to balenaOS.
#
# Remove the "#" before a setting to put it into force. Check the file with "migrate validate balena-migrate.yml".

`;

/** What `migrate init` writes: the least that a migration needs, and every other setting as a comment. */
export function sampleConfig(): string {
  const values = {
    migrate: { reboot: 5 },
    balena: { image: { dd: { path: 'balena.img.gz' } }, config: { path: 'config.json' } },
  };
  return `${introduction}${annotatedConfig({ values, others: 'commented' })}`;
}
