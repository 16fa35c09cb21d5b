import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatGuid, guidBytes } from '../disk/guid.ts';
import { createMemoryHost } from '../host/memory-host.ts';
import { efivarsDirectory, globalVariableGuid, inspectFirmware, loadOption, parseLoadOption } from './uefi.ts';

const guid = fc.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);

describe('load options', () => {
  it('print and parse to the same', () => {
    fc.assert(
      fc.property(guid, fc.stringMatching(/^[ -~]{0,40}$/), (uuid, description) => {
        const bytes = loadOption({
          description,
          filePath: '\\EFI\\BOOT\\BOOTX64.EFI',
          partition: { number: 1, startLba: 2048, sectors: 99, uuid },
        });
        expect(parseLoadOption(7, bytes)).toEqual({
          number: 7,
          description,
          isActive: true,
          partitionUuid: uuid,
          filePath: '\\EFI\\BOOT\\BOOTX64.EFI',
        });
      }),
    );
  });

  it('reads hard-drive and file-path nodes laid out byte by byte', () => {
    // UEFI specification 2.10, 3.1.3 and 10.3.5: attributes, length, description, hard drive, file path, end.
    const bytes = Buffer.from(
      '010000007400' + // active, length of the path list
        '640065006200690061006e000000' +
        '04012a000f000000000800000000000000f80100000000005a5f3c1f7d4b3e49b8b0a1d0e3a1c4f20202' +
        '0404340' +
        '05c004500460049005c00640065006200690061006e005c007300680069006d007800360034002e006500660069000000' +
        '7fff0400',
      'hex',
    );
    expect(parseLoadOption(4, bytes)).toMatchObject({
      description: 'debian',
      isActive: true,
      filePath: '\\EFI\\debian\\shimx64.efi',
    });
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => parseLoadOption(1, bytes).number === 1));
  });
});

describe('GUIDs', () => {
  it('convert both ways', () => {
    fc.assert(fc.property(guid, (text) => formatGuid(guidBytes(text)) === text));
  });

  it('have the mixed byte order of the specification', () => {
    expect(Buffer.from(guidBytes('8be4df61-93ca-11d2-aa0d-00e098032b8c')).toString('hex')).toBe(
      '61dfe48bca93d211aa0d00e098032b8c',
    );
  });
});

describe('inspectFirmware', () => {
  it('is BIOS where the kernel shows no EFI', async () => {
    expect(await inspectFirmware(createMemoryHost())).toEqual({ kind: 'bios' });
  });

  it('reads Secure Boot, the entry in use and the order', async () => {
    const variable = (name: string, data: readonly number[]) => [
      `${efivarsDirectory}/${name}-${globalVariableGuid}`,
      Uint8Array.from([7, 0, 0, 0, ...data]),
    ];
    const files = Object.fromEntries([
      variable('SecureBoot', [1]),
      variable('BootCurrent', [4, 0]),
      variable('BootOrder', [4, 0, 0, 0]),
      variable('Boot0004', [
        ...loadOption({
          description: 'debian',
          filePath: '\\a',
          partition: { number: 1, startLba: 1, sectors: 1, uuid: '8be4df61-93ca-11d2-aa0d-00e098032b8c' },
        }),
      ]),
    ]);
    expect(
      await inspectFirmware(createMemoryHost({ files: { ...files, '/sys/firmware/efi/fw_platform_size': '64\n' } })),
    ).toMatchObject({
      kind: 'uefi',
      bits: 64,
      secureBoot: true,
      variablesReadable: true,
      bootCurrent: 4,
      bootOrder: [4, 0],
      bootEntries: [{ number: 4, description: 'debian' }],
    });
  });
});
