import { createMemoryHost, parseConfig } from '@migrate/core';
import { expect, test } from 'vitest';
import { findCloudAccess, useFetchedImage } from './connected.ts';

const configJson = JSON.stringify({
  apiEndpoint: 'https://api.example.com',
  deviceType: 'intel-nuc',
  applicationId: 1,
  apiKey: 'canary',
});
const names = ['5.1.20', '5.2.0+rev1', '4.0.0', 'latest'].map((version) => `balena-cloud-intel-nuc-${version}.img.gz`);
const configOf = (image: string) => {
  const { config } = parseConfig(`balena: { image: ${image}, config: { path: config.json } }\n`, 'c.yml');
  if (config === undefined) throw new Error('no configuration');
  return config;
};
const hostWith = (files: readonly string[], text = configJson) =>
  createMemoryHost({
    files: Object.fromEntries([['/migration/config.json', text], ...files.map((name) => [`/migration/${name}`, ''])]),
  });

async function used(image: string, host: ReturnType<typeof hostWith>) {
  const config = configOf(image);
  const { access } = await findCloudAccess(host, config, '/migration');
  const { config: result, findings } = await useFetchedImage(host, config, { workDirectory: '/migration', access });
  return { image: result.balena.image, findings };
}

test('the newest fetched image that the configuration asks for is taken', async () => {
  expect(
    await used('{ download: { version: ^5 } }', hostWith([...names, 'balena-cloud-intel-nuc-5.9.0.img.gz.partial'])),
  ).toEqual({
    image: { kind: 'dd', file: { path: '/migration/balena-cloud-intel-nuc-5.2.0+rev1.img.gz' }, writesUnused: false },
    findings: [],
  });
});

test('where none was fetched, it says how to', async () => {
  expect((await used('{ download: { version: ^6 } }', hostWith(names))).findings).toMatchObject([
    { severity: 'error', code: 'image-not-fetched', hint: expect.stringContaining('migrate download') },
  ]);
});

test('a configuration with an image of its own stays as it is', async () => {
  const { image } = await used('{ dd: { path: a.img.gz } }', hostWith(names));
  expect(image).toMatchObject({ file: { path: 'a.img.gz' } });
});

test('a key that cannot be used is a finding, and is not shown', async () => {
  const text = configJson.replace('canary', 'canary\\u0000');
  const { findings } = await findCloudAccess(hostWith([], text), configOf('{ dd: { path: a } }'), '/migration');
  expect(findings).toMatchObject([{ code: 'config-json-value', severity: 'error' }]);
  expect(JSON.stringify(findings)).not.toContain('canary');
});
