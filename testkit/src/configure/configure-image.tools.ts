import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createNodeHost, type MigrateError, refuses } from '@migrate/core';
import { configureImage, configureImageFile } from '@migrate/image-tools';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { configJson } from '../balena-image.ts';
import { checkWithFsck, makeFat, recordingWriter, runTool } from '../fat/fat-image.ts';

vi.setConfig({ testTimeout: 30_000 });

const mebibyte = 1024 * 1024;
const host = createNodeHost();
const names = ['boot', 'rootA', 'rootB', 'state', 'data'];
const connection = '[connection]\nid=office\ntype=ethernet\n';
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'configure-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function save(name: string, contents: string | Uint8Array): string {
  const path = join(mkdtempSync(join(directory, 'file-')), name);
  writeFileSync(path, contents);
  return path;
}

interface ImageShape {
  readonly table: 'gpt' | 'dos';
  readonly prefix: 'resin' | 'flash' | 'other';
}

const bootStart = mebibyte;
const bootMib = 4;
const made = new Map<string, Buffer>();

/** A new file with an image that has the partitions of balenaOS; on MBR their labels are those of ext4 file systems. */
function makeImage(shape: ImageShape): string {
  const key = `${shape.table} ${shape.prefix}`;
  const bytes = made.get(key) ?? imageBytes(shape);
  made.set(key, bytes);
  return save('balena.img', bytes);
}

function imageBytes({ table, prefix }: ImageShape): Buffer {
  // Logical partitions have their record before them.
  const starts = names.map((_, index) => (index === 0 ? 1 : 3 + index * 2 + (table === 'dos' && index >= 3 ? 1 : 0)));
  const path = save('table.img', '');
  truncateSync(path, ((starts.at(-1) ?? 0) + 4) * mebibyte);
  const lines = names.map((name, index) => {
    const sizeMib = index === 0 ? bootMib : table === 'dos' ? 1 : 2;
    const label = table === 'gpt' ? `,name=${prefix}-${name}` : '';
    return `start=${(starts[index] ?? 0) * 2048},size=${sizeMib * 2048}${label}`;
  });
  const extended = table === 'dos' ? [`start=${((starts[3] ?? 0) - 1) * 2048},size=${6 * 2048},type=5`] : [];
  const input = [`label: ${table}`, ...lines.slice(0, 3), ...extended, ...lines.slice(3), ''].join('\n');
  execFileSync('sfdisk', ['-q', path], { input, stdio: ['pipe', 'ignore', 'ignore'] });
  const bytes = readFileSync(path);
  const boot = makeFat(directory, { name: '', sizeMib: bootMib, options: ['-n', `${prefix}-boot`] });
  runTool('mcopy', ['-i', boot, save('device-type.json', '{"slug":"intel-nuc"}'), save('config.json', '{}'), '::']);
  readFileSync(boot).copy(bytes, bootStart);
  if (table === 'dos') {
    names.slice(1).forEach((name, index) => {
      const part = save(name, Buffer.alloc(mebibyte));
      execFileSync('mkfs.ext4', ['-q', '-F', '-L', `${prefix}-${name}`, part], { stdio: 'ignore' });
      readFileSync(part).copy(bytes, (starts[index + 1] ?? 0) * mebibyte);
    });
  }
  return bytes;
}

describe('configureImageFile', () => {
  it.each([
    { table: 'gpt', prefix: 'resin' },
    { table: 'dos', prefix: 'resin' },
    { table: 'gpt', prefix: 'flash' },
  ] as const)('puts the files into the boot partition of $table $prefix', async (shape) => {
    const path = makeImage(shape);
    const before = readFileSync(path);
    const result = await configureImageFile(host, {
      imagePath: path,
      configPath: save('my config.json', configJson('intel-nuc')),
      connectionPaths: [save('office.nmconnection', connection)],
    });
    expect(result).toEqual({
      findings: [],
      written: {
        partition: `${shape.prefix}-boot`,
        paths: ['/config.json', '/system-connections/office.nmconnection'],
      },
    });
    const place = `${path}@@${bootStart}`;
    expect(runTool('mtype', ['-i', place, '::config.json'])).toBe(configJson('intel-nuc'));
    expect(runTool('mtype', ['-i', place, '::system-connections/office.nmconnection'])).toBe(connection);
    expect(runTool('mtype', ['-i', place, '::device-type.json'])).toBe('{"slug":"intel-nuc"}');
    const after = readFileSync(path);
    const bootEnd = bootStart + bootMib * mebibyte;
    checkWithFsck(save('boot.fat', after.subarray(bootStart, bootEnd)));
    expect(after.subarray(0, bootStart).equals(before.subarray(0, bootStart))).toBe(true);
    expect(after.subarray(bootEnd).equals(before.subarray(bootEnd))).toBe(true);
  });

  it.each([
    ['config-json-missing', { config: '{"apiEndpoint":"https://api.example.com","apiKey":"canary"}' }],
    ['config-json-encoding', { config: `\ufeff${configJson('intel-nuc')}` }],
    ['device-type-mismatch', { config: configJson('raspberrypi4-64') }],
    ['connection-incomplete', { connections: [['office', '[connection]\nid=canary\n']] }],
    [
      'connection-name',
      {
        connections: [
          ['office', connection],
          ['OFFICE', connection],
        ],
      },
    ],
    ['connection-name', { connections: [['office.ignore', connection]] }],
  ] as const)(
    'refuses what a migration would: %s',
    async (code, {
      config = configJson('intel-nuc'),
      connections = [],
    }: { config?: string; connections?: readonly (readonly [string, string])[] }) => {
      const path = makeImage({ table: 'gpt', prefix: 'resin' });
      const before = readFileSync(path);
      const { findings, written } = await configureImageFile(host, {
        imagePath: path,
        configPath: save('config.json', config),
        connectionPaths: connections.map(([name, contents]) => save(name, contents)),
      });
      expect(refuses(findings)).toBe(true);
      expect(findings.map((finding) => finding.code)).toContain(code);
      expect(JSON.stringify(findings)).not.toContain('canary');
      expect(written).toBeUndefined();
      expect(readFileSync(path).equals(before)).toBe(true);
    },
  );

  it('refuses what is no raw image of balenaOS, and leaves it as it was', async () => {
    const other = makeImage({ table: 'gpt', prefix: 'other' });
    const sound = readFileSync(makeImage({ table: 'gpt', prefix: 'resin' }));
    const damagedBoot = Buffer.from(sound);
    damagedBoot[mebibyte + 13] = 3;
    for (const [path, code] of [
      [other, 'wrong-image'],
      [save('empty.img', ''), 'wrong-image'],
      [save('packed.img', gzipSync(sound)), 'unsupported'],
      [save('damaged.img', damagedBoot), 'invalid-input'],
    ] as const) {
      const before = readFileSync(path);
      const configured = configureImageFile(host, {
        imagePath: path,
        configPath: save('config.json', configJson('intel-nuc')),
        connectionPaths: [],
      });
      await expect(configured, path).rejects.toMatchObject({ code });
      expect(readFileSync(path).equals(before)).toBe(true);
    }
  });
});

describe('configureImage', () => {
  const configuration = {
    configJson: { name: 'config.json', contents: Buffer.from(configJson('intel-nuc')) },
    connections: [{ name: 'office', contents: Buffer.from(connection) }],
  };

  it('refuses a boot partition that is full', async () => {
    const path = makeImage({ table: 'gpt', prefix: 'resin' });
    const filler = save('filler', Buffer.alloc(4 * mebibyte - 70_000));
    runTool('mcopy', ['-i', `${path}@@${mebibyte}`, filler, '::']);
    const image = recordingWriter(readFileSync(path));
    const connections = [{ name: 'office', contents: Buffer.from(connection + '#'.repeat(60_000)) }];
    await expect(
      configureImage({ image, configuration: { ...configuration, connections }, modified: new Date(0) }),
    ).rejects.toMatchObject({ code: 'no-space' });
    expect(image.operations).toEqual([]);
  });

  it('notices a medium that loses any one write', async () => {
    const original = readFileSync(makeImage({ table: 'gpt', prefix: 'resin' }));
    const right = Buffer.from(original);
    const sound = recordingWriter(right);
    await configureImage({ image: sound, configuration, modified: new Date(0) });
    const count = sound.operations.filter((operation) => operation !== 'flush').length;
    expect(count).toBe(8);
    for (let lost = 0; lost < count; lost += 1) {
      const bytes = Buffer.from(original);
      const image = recordingWriter(bytes);
      let writes = 0;
      const lossy = {
        ...image,
        write: async (source: Uint8Array, position: number) => {
          writes += 1;
          if (writes - 1 !== lost) await image.write(source, position);
        },
      };
      const configured = configureImage({ image: lossy, configuration, modified: new Date(0) });
      const outcome = await configured.then(
        () => 'done',
        (thrown: MigrateError) => thrown.code,
      );
      // The sectors of the tables are written twice, so that losing the first time does no harm.
      expect(outcome, `write ${lost}`).toBe(bytes.equals(right) ? 'done' : 'verify-mismatch');
    }
  });
});
