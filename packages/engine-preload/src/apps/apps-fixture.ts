// What the tests of apps.json start from.
import type { InjectedImage } from './check-images.ts';

export const digest = (character: string): string => `sha256:${character.repeat(64)}`;
export const appUuid = '0f1e2d3c4b5a69788796a5b4c3d2e1f0';
export const releaseUuid = 'c0ffee00c0ffee00c0ffee00c0ffee00';
export const repository = 'registry2.balena-cloud.com/v2/0123456789abcdef0123456789abcdef';

export const images: readonly InjectedImage[] = [
  { id: digest('1'), references: [`${repository}:latest`, `${repository}@${digest('a')}`] },
  { id: digest('2'), references: ['redis:7', `redis@${digest('b')}`] },
  { id: digest('3'), references: [] },
];

/** One service of apps.json; `fields` replace its own. */
export function service(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { id: 11, image_id: 21, image: `${repository}@${digest('a')}`, environment: {}, labels: {}, ...fields };
}

/** apps.json with one app; `release` replaces fields of its release. */
export function appsJson(release: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const contents = { id: 31, services: { main: service() }, volumes: {}, networks: {}, ...release };
  return {
    config: { RESIN_HOST_CONFIG_gpu_mem: '16' },
    apps: { [appUuid]: { id: 41, name: 'fleet', class: 'fleet', releases: { [releaseUuid]: contents } } },
  };
}
