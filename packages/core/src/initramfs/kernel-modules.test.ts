import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ModuleIndexTexts, moduleClosure, parseModuleIndex } from './kernel-modules.ts';

const texts: ModuleIndexTexts = {
  release: '6.1.0-1-amd64',
  dep: `kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/mbcache.ko:
kernel/fs/jbd2/jbd2.ko: kernel/lib/crc16.ko
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.zst:
kernel/fs/nls/nls_iso8859-1.ko:
/lib/modules/6.1.0-1-amd64/kernel/drivers/ata/ahci.ko: kernel/drivers/ata/libahci.ko
kernel/drivers/ata/libahci.ko:
kernel/drivers/ata/ata_generic.ko:
kernel/after.ko:
kernel/broken.ko: kernel/gone.ko
kernel/loop-a.ko: kernel/loop-b.ko
kernel/loop-b.ko: kernel/loop-a.ko
not a line
`,
  alias: `# Aliases extracted from modules themselves.
alias crypto-crc32c crc32c_intel
alias crypto-crc32c crc32c_generic
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v00008086d*sv*sd*bc01* ata_generic
alias fs-gone gone_module
`,
  softdep: `# Soft dependencies
softdep ext4 pre: crypto-crc32c
softdep ext4 post: after
softdep ext4 pre: nls-iso8859-1 no-such-thing
`,
  builtin: 'kernel/drivers/scsi/sd_mod.ko\nkernel/drivers/nvme/host/nvme-core.ko\n',
  builtinModinfo: 'sd_mod.alias=scsi:t-0x00*\0sd_mod.license=GPL\0vfat.alias=fs-vfat\0',
};
const index = parseModuleIndex(texts);
const names = (wanted: readonly string[]) => moduleClosure(index, wanted).modules.map((module) => module.name);

describe('moduleClosure', () => {
  it('puts everything after what it needs, soft dependencies by alias and over several lines included', () => {
    expect(moduleClosure(index, ['ext4'])).toEqual({
      modules: [
        { name: 'mbcache', path: 'kernel/fs/mbcache.ko' },
        { name: 'crc16', path: 'kernel/lib/crc16.ko' },
        { name: 'jbd2', path: 'kernel/fs/jbd2/jbd2.ko' },
        { name: 'crc32c_intel', path: 'kernel/arch/x86/crypto/crc32c-intel.ko.zst' },
        { name: 'crc32c_generic', path: 'kernel/crypto/crc32c_generic.ko.xz' },
        { name: 'nls_iso8859_1', path: 'kernel/fs/nls/nls_iso8859-1.ko' },
        { name: 'ext4', path: 'kernel/fs/ext4/ext4.ko' },
        { name: 'after', path: 'kernel/after.ko' },
      ],
      missing: [],
    });
  });

  it('takes names with either dash, and absolute paths of old depmods', () => {
    expect(names(['nls_iso8859-1', 'nls-iso8859_1'])).toEqual(['nls_iso8859_1']);
    expect(moduleClosure(index, ['ahci']).modules.map((module) => module.path)).toEqual([
      'kernel/drivers/ata/libahci.ko',
      'kernel/drivers/ata/ahci.ko',
    ]);
  });

  it('takes all modules that a modalias matches', () => {
    expect(names(['pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01'])).toEqual([
      'libahci',
      'ahci',
      'ata_generic',
    ]);
  });

  it('counts what is built in as there', () => {
    expect(moduleClosure(index, ['sd-mod', 'nvme_core', 'fs-vfat', 'scsi:t-0x00'])).toEqual({
      modules: [],
      missing: [],
    });
  });

  it('misses names, not modaliases', () => {
    expect(moduleClosure(index, ['no-such', 'pci:v9999', 'fs-gone']).missing).toEqual(['no-such', 'fs-gone']);
    expect(moduleClosure(index, ['broken']).missing).toEqual(['gone']);
  });

  it('ends for modules that need each other', () => {
    expect(names(['loop-a']).sort()).toEqual(['loop_a', 'loop_b']);
  });

  it('refuses chains that no kernel has', () => {
    const dep = Array.from({ length: 20_000 }, (_, i) => `m${i}.ko: m${i + 1}.ko`).join('\n');
    const deep = parseModuleIndex({ ...texts, dep });
    expect(() => moduleClosure(deep, ['m0'])).toThrow(/modules\.dep.*run depmod/);
  });

  it('takes any text for an index', () => {
    const text = fc.string({
      unit: fc.constantFrom('alias ', 'softdep ', 'pre: ', 'a', '.ko', ':', ' ', '\n', '[', '*', '\0', '=', '.alias'),
      maxLength: 60,
    });
    fc.assert(
      fc.property(text, text, text, text, (dep, alias, softdep, builtin) => {
        const any = parseModuleIndex({ release: '1', dep, alias, softdep, builtin, builtinModinfo: alias });
        const { modules } = moduleClosure(any, ['a', 'a:a', ...any.files.keys()]);
        expect(new Set(modules.map((module) => module.name)).size).toBe(modules.length);
        expect(modules.length).toBe([...any.files.keys()].filter((name) => !any.builtin.has(name)).length);
      }),
      { examples: [['.ko.ko:', '', '', '']] },
    );
  });
});
