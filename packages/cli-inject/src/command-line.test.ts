import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCommandLine } from './command-line.ts';

let directory: string;
const greenhouse = join(import.meta.dirname, '../../../fixtures/apps/greenhouse.apps.json');

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-inject-'));
  mkdirSync(join(directory, 'empty/docker'), { recursive: true });
  writeFileSync(join(directory, 'broken.json'), '{"apps": {"a": {"id": 1}}, "pinDevice": 1}');
  writeFileSync(
    join(directory, 'v2.json'),
    '{"apps": {"1": {"name": "a", "commit": "c", "releaseId": 1, "services": {}}}}',
  );
});

afterAll(() => rmSync(directory, { recursive: true }));

async function run(...argv: readonly string[]) {
  const written = { out: '', error: '' };
  const collect = (stream: NodeJS.WriteStream, name: keyof typeof written) =>
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      written[name] += text;
      return true;
    });
  const [out, error] = [collect(process.stdout, 'out'), collect(process.stderr, 'error')];
  try {
    const exitCode = await runCommandLine(argv.map((word) => word.replace('%', directory)));
    return { exitCode, ...written };
  } finally {
    out.mockRestore();
    error.mockRestore();
  }
}

describe('the command line of inject', () => {
  it('helps', async () => {
    const { exitCode, out } = await run('--help');
    expect(exitCode).toBe(0);
    for (const word of ['--resin-data', '--static-ip', 'apps', 'Exit codes']) expect(out).toContain(word);
    expect((await run('apps', 'check', '--help')).out).toContain('--app-uuid');
    expect(await run('--version')).toMatchObject({ exitCode: 0, out: '0.1.0\n' });
  });

  it.each<[string, readonly string[], RegExp]>([
    ['an unknown option', ['--frm', 'x'], /unknown option '--frm'/],
    ['nothing', [], /--from is missing/],
    ['no target', ['--from', '%/empty'], /--resin-data \(or --image\) is missing/],
    ['two targets', ['--from', '%', '--resin-data', '%', '--image', '%/x'], /exclude each other/],
    ['growing a mount', ['--from', '%', '--resin-data', '%', '--grow'], /--grow needs --image/],
    ['an unknown choice', ['--on-conflict', 'overwrite'], /refuse, keep, move/],
    ['a broken id', ['--app-id', '0'], /whole number above 0/],
    [
      'two sources of apps.json',
      ['--from', '%', '--resin-data', '%', '--apps', '%/v2.json', '--compose', '%/v2.json'],
      /only one of/,
    ],
    ['a file that is not there', ['--from', '%', '--resin-data', '%', '--apps', '%/none'], /none does not exist/],
    ['a broken address', ['--from', '%', '--resin-data', '%', '--static-ip', '10.0.0.0/8'], /whole network/],
    ['nothing to extract', ['extract', '--from', '%', '--out', '%/b'], /say which images/],
    ['no bundle to make', ['extract', '--from', '%', '--all'], /--out is missing/],
    ['nothing to verify', ['verify'], /--resin-data is missing/],
    ['no file to check', ['apps', 'check'], /missing required argument/],
  ])('ends with 2 for %s', async (_name, argv, message) => {
    const { exitCode, error } = await run(...argv);
    expect(error).toMatch(message);
    expect(exitCode).toBe(2);
  });

  it('ends with 3 for a data root without images, and changes nothing', async () => {
    const before = readdirSync(directory, { recursive: true });
    expect(await run('--from', '%/empty/docker', '--resin-data', '%/empty', '--yes')).toMatchObject({
      exitCode: 3,
      error: `inject: there is no data root of docker or balenaEngine in ${directory}/empty/docker\n`,
    });
    expect(readdirSync(directory, { recursive: true })).toEqual(before);
  });
});

describe('inject apps check', () => {
  it('says that a file is valid', async () => {
    expect(await run('apps', 'check', greenhouse)).toEqual({ exitCode: 0, out: `${greenhouse}: valid\n`, error: '' });
  });

  it('says what is wrong, for people and programs', async () => {
    const { exitCode, out } = await run('apps', 'check', '%/broken.json');
    expect(exitCode).toBe(2);
    expect(out).toContain('broken.json apps.a.name: name is missing [apps-missing]');
    expect(out).toMatch(/not valid\n$/);
    const json = await run('apps', 'check', '%/broken.json', '--json');
    expect(json.exitCode).toBe(2);
    expect(JSON.parse(json.out)).toMatchObject({
      valid: false,
      findings: [{ code: 'apps-missing' }, {}, {}],
      unused: [],
    });
  });

  it('reads the older form when it is told the uuid', async () => {
    expect((await run('apps', 'check', '%/v2.json')).exitCode).toBe(2);
    expect((await run('apps', 'check', '%/v2.json', '--app-uuid', 'abc')).exitCode).toBe(0);
  });

  it('checks the images of a resin-data', async () => {
    const { exitCode, out } = await run('apps', 'check', greenhouse, '--resin-data', '%/empty');
    expect(exitCode).toBe(2);
    expect(out).toContain('the image redis:7 is not there');
  });
});
