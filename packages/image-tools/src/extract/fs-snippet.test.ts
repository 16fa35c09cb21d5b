import { readFileSync } from 'node:fs';
import { type ExpectedHash, type FsImageSetting, parseConfig } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ddSnippet, fsSnippet } from './fs-snippet.ts';

const seed = readFileSync(new URL('../../../../fixtures/configs/extract-snippet.yml', import.meta.url), 'utf8');

function archive(name: string, blocks: number, digest: string) {
  const hash: ExpectedHash = { algorithm: 'md5', digest };
  return { blocks, archive: { path: `resin-${name}.tgz`, hash } };
}

/** The numbers of the original README. */
const ofReadme: FsImageSetting = {
  kind: 'fs',
  deviceSlug: 'beaglebone-green',
  check: 'none',
  maxData: true,
  mkfsDirect: false,
  extendedBlocks: 2162688,
  partitions: {
    boot: archive('boot', 81920, '9111b8be2903683638c850c9fff047cc'),
    rootA: archive('rootA', 638976, 'df0e67f5c3479ddd17f3dca9abcd74a0'),
    rootB: archive('rootB', 638976, 'e03534953b5f8d867bcebf3178e44906'),
    state: archive('state', 40960, '4cbb7304932ef21212483096a167293a'),
    data: archive('data', 2105344, '57d78c6cfe8a6b13b283804822e0c518'),
  },
};

/** With all that is recorded besides. */
const complete: FsImageSetting = {
  ...ofReadme,
  table: 'mbr',
  diskId: '00000083',
  partitions: {
    ...ofReadme.partitions,
    boot: {
      ...ofReadme.partitions.boot,
      startBlock: 8192,
      type: '0e',
      fileSystem: { type: 'fat16', label: 'resin-boot', uuid: '1234-0E56', blockBytes: 2048 },
    },
    rootA: {
      ...ofReadme.partitions.rootA,
      startBlock: 90112,
      type: '83',
      fileSystem: {
        type: 'ext4',
        label: 'resin-rootA',
        uuid: '13325f24-3374-489b-b9be-7e2897e07b6c',
        blockBytes: 1024,
        inodes: 39936,
        inodeBytes: 256,
        features: ['has_journal', 'extent', '64bit'],
      },
    },
  },
};

const complain = (text: string) => parseConfig(text, 'c.yml').findings.filter(({ severity }) => severity === 'error');

describe('fsSnippet', () => {
  it('prints what the original README shows, in its order, to be pasted as it is', () => {
    const [shown = ''] = seed.split('  config:\n');
    expect(fsSnippet(ofReadme)).toBe(shown);
  });

  it('prints what is recorded besides in a form that means the same when it is read back', () => {
    const text = fsSnippet(complete);
    expect(complain(text)).toEqual([]);
    expect(parseConfig(text, 'c.yml').config?.balena.image).toEqual(complete);
    // Types and ids of digits alone are text.
    expect(parse(text).balena.image.fs).toMatchObject({ disk_id: '00000083', root_a: { type: '83' } });
  });

  it('has no size of an extended partition on a GPT', () => {
    const { extendedBlocks: _, ...gpt } = { ...ofReadme, table: 'gpt' as const };
    expect(fsSnippet(gpt)).toContain('      extended_blocks: ~\n');
    expect(parseConfig(fsSnippet(gpt), 'c.yml').config?.balena.image).toEqual(gpt);
  });
});

describe('ddSnippet', () => {
  it('names the image, its hash, and config.json where there is one', () => {
    const hash: ExpectedHash = { algorithm: 'sha256', digest: 'ab'.repeat(32) };
    const text = ddSnippet({ path: '/tmp/a b: c.img.gz', hash, configPath: 'config.json' });
    expect(complain(text)).toEqual([]);
    expect(parseConfig(text, 'c.yml').config?.balena).toMatchObject({
      image: { kind: 'dd', file: { path: '/tmp/a b: c.img.gz', hash } },
      config: { path: 'config.json' },
    });
  });
});
