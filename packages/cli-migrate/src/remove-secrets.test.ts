import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMemoryHost, MigrateError, type Plan } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { removeSecrets } from './remove-secrets.ts';

const fixture = join(import.meta.dirname, '../../../fixtures/windows/windows-10-iot-kiosk/plan.json');
const plan = JSON.parse(readFileSync(fixture, 'utf8')) as Plan;

const files = '/old/balena-migrate/payload/files';
const lifeboat = '/old/balena-migrate/lifeboat';
const secret = ['config.json', 'migrated-connection-0', 'redsocks.conf'].map((name) => `${files}/${name}`);
const kept = [`${files}/image`, '/old/balena-migrate/payload/plan.json', `${lifeboat}/seal.json`];

const volume = `${lifeboat}/volume.img`;

function partition() {
  const paths = [...secret, ...kept, `${lifeboat}/payload.img`, volume];
  const overwritten: string[] = [];
  const host = createMemoryHost({ files: Object.fromEntries(paths.map((path) => [path, `canary ${path}`])) });
  return {
    overwritten,
    left: () => [...host.nodes.entries()].filter(([, { kind }]) => kind === 'file').map(([path]) => path),
    host: {
      ...host,
      status: async (path: string) => {
        const status = await host.status(path);
        return status !== undefined && path === volume ? { ...status, sizeBytes: 200 * 1024 * 1024 } : status;
      },
      overwriteInPlace: async (path: string, contents: Uint8Array) => {
        expect(contents.every((byte) => byte === 0)).toBe(true);
        await host.overwriteInPlace(path, contents);
        overwritten.push(path);
      },
    },
  };
}

describe('removeSecrets', () => {
  it('overwrites what is small and removes all that holds passwords and keys, and nothing else', async () => {
    const { host, overwritten, left } = partition();
    const said: string[] = [];
    await removeSecrets(host, plan, { root: '/old', say: (text) => said.push(text) });
    expect(left().sort()).toEqual([...kept].sort());
    expect(overwritten.sort()).toEqual([...secret, `${lifeboat}/payload.img`].sort());
    expect(said).toEqual([]);
  });

  it('goes on where one of them cannot be written, and says so', async () => {
    const { host, left } = partition();
    const said: string[] = [];
    const overwriteInPlace = async (path: string): Promise<void> => {
      if (path.endsWith('config.json')) throw new MigrateError('write-failed', 'the disk is broken');
    };
    await removeSecrets({ ...host, overwriteInPlace }, plan, { root: '/old', say: (text) => said.push(text) });
    expect(left().sort()).toEqual([`${files}/config.json`, ...kept].sort());
    expect(said).toEqual([`${files}/config.json holds secrets and could not be removed: the disk is broken`]);
  });

  it('touches nothing where the payload lies among files of the old system', async () => {
    const { host, left } = partition();
    const before = left();
    const stage1 = plan.stage1.filter(({ kind }) => kind !== 'create-payload-partition');
    await removeSecrets(host, { ...plan, stage1 }, { root: '/old', say: () => {} });
    expect(left()).toEqual(before);
  });
});
