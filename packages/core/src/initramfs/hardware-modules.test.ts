import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { stage2Modules, wantedForBlockDevices } from './hardware-modules.ts';

/** A device on the way to the disks: its path below /sys/devices, what it says of itself, and the driver it has. */
type DeviceRow = readonly [path: string, modalias: string | undefined, driverModule: string | undefined];

function sysfs(rows: readonly DeviceRow[], blocks: Readonly<Record<string, string>>) {
  const files: Record<string, string> = {};
  const links: Record<string, string> = {};
  for (const [path, modalias, driver] of rows) {
    files[`/sys/devices/${path}/uevent`] = '';
    if (modalias !== undefined) files[`/sys/devices/${path}/modalias`] = `${modalias}\n`;
    if (driver !== undefined) {
      files[`/sys/bus/x/drivers/${driver}-driver/uevent`] = '';
      files[`/sys/module/${driver}/refcnt`] = '0';
      links[`/sys/devices/${path}/driver`] = `/sys/bus/x/drivers/${driver}-driver`;
      links[`/sys/bus/x/drivers/${driver}-driver/module`] = `/sys/module/${driver}`;
    }
  }
  for (const [name, path] of Object.entries(blocks)) {
    files[`/sys/devices/${path}/size`] = '1';
    links[`/sys/class/block/${name}`] = `/sys/devices/${path}`;
  }
  return { files, links };
}

const pciHost = 'pci0000:00';

describe('wantedForBlockDevices', () => {
  it('walks from a SATA partition to the root, drivers first', async () => {
    const sata = `${pciHost}/0000:00:1f.2`;
    const target = `${sata}/ata1/host0/target0:0:0/0:0:0:0`;
    const host = createMemoryHost(
      sysfs(
        [
          [target, 'scsi:t-0x00', 'sd_mod'],
          [sata, 'pci:v00008086d00002922bc01sc06i01', 'ahci'],
        ],
        { sda: `${target}/block/sda`, sda1: `${target}/block/sda/sda1` },
      ),
    );
    const expected = ['sd_mod', 'ahci', 'scsi:t-0x00', 'pci:v00008086d00002922bc01sc06i01'];
    expect(await wantedForBlockDevices(host, ['sda1'])).toEqual(expected);
    expect(await wantedForBlockDevices(host, ['sda', 'sda1'])).toEqual(expected);
  });

  it.each<[string, DeviceRow[], string, readonly string[]]>([
    [
      'virtio',
      [
        [`${pciHost}/0000:00:04.0`, 'pci:v00001AF4d00001001', 'virtio_pci'],
        [`${pciHost}/0000:00:04.0/virtio1`, 'virtio:d00000002v00001AF4', 'virtio_blk'],
      ],
      `${pciHost}/0000:00:04.0/virtio1/block/disk`,
      ['virtio_blk', 'virtio_pci', 'virtio:d00000002v00001AF4', 'pci:v00001AF4d00001001'],
    ],
    [
      'NVMe behind a bridge',
      [
        [`${pciHost}/0000:00:1d.0`, 'pci:bridge', undefined],
        [`${pciHost}/0000:00:1d.0/0000:03:00.0`, 'pci:v0000144Dbc01sc08i02', 'nvme'],
      ],
      `${pciHost}/0000:00:1d.0/0000:03:00.0/nvme/nvme0/disk`,
      ['nvme', 'pci:v0000144Dbc01sc08i02', 'pci:bridge'],
    ],
    [
      'eMMC found by ACPI',
      [
        [`${pciHost}/80860F14:00`, 'acpi:80860F14:INT33BB:', 'sdhci_acpi'],
        [`${pciHost}/80860F14:00/mmc_host/mmc0/mmc0:0001`, 'mmc:block', 'mmc_block'],
      ],
      `${pciHost}/80860F14:00/mmc_host/mmc0/mmc0:0001/block/disk`,
      ['mmc_block', 'sdhci_acpi', 'mmc:block', 'acpi:80860F14:INT33BB:'],
    ],
    [
      'USB',
      [
        [`${pciHost}/0000:00:14.0`, 'pci:xhci', 'xhci_pci'],
        [`${pciHost}/0000:00:14.0/usb2`, undefined, 'usbcore'],
        [`${pciHost}/0000:00:14.0/usb2/2-1/2-1:1.0`, 'usb:v0781ic08isc06ip50', 'usb_storage'],
        [`${pciHost}/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0`, 'scsi:t-0x00', 'sd_mod'],
      ],
      `${pciHost}/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/disk`,
      ['sd_mod', 'usb_storage', 'usbcore', 'xhci_pci', 'scsi:t-0x00', 'usb:v0781ic08isc06ip50', 'pci:xhci'],
    ],
    [
      'Hyper-V',
      [['LNXSYSTM:00/ACPI0004:00/VMBUS:00/f8b3781a', 'vmbus:d96361baa104294db60572e2ffb1dc7f', 'hv_storvsc']],
      'LNXSYSTM:00/ACPI0004:00/VMBUS:00/f8b3781a/host0/target0:0:0/0:0:0:0/block/disk',
      ['hv_storvsc', 'vmbus:d96361baa104294db60572e2ffb1dc7f'],
    ],
    [
      'VMware',
      [[`${pciHost}/0000:00:15.0/0000:03:00.0`, 'pci:v000015ADd000007C0', 'vmw_pvscsi']],
      `${pciHost}/0000:00:15.0/0000:03:00.0/host0/target0:0:0/0:0:0:0/block/disk`,
      ['vmw_pvscsi', 'pci:v000015ADd000007C0'],
    ],
  ])('%s', async (_name, rows, block, expected) => {
    expect(await wantedForBlockDevices(createMemoryHost(sysfs(rows, { disk: block })), ['disk'])).toEqual(expected);
  });

  it('follows NVMe multipath to the controllers', async () => {
    const controller = `${pciHost}/0000:03:00.0/nvme/nvme0`;
    const { files, links } = sysfs([[`${pciHost}/0000:03:00.0`, 'pci:nvme', 'nvme']], {
      nvme0n1: 'virtual/nvme-subsystem/nvme-subsys0/nvme0n1',
    });
    files[`/sys/devices/${controller}/state`] = 'live';
    links['/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0'] = `/sys/devices/${controller}`;
    expect(await wantedForBlockDevices(createMemoryHost({ files, links }), ['nvme0n1'])).toEqual(['nvme', 'pci:nvme']);
  });

  it('names a device that is not there', async () => {
    await expect(wantedForBlockDevices(createMemoryHost(), ['sdz'])).rejects.toThrow('/sys/class/block/sdz');
  });
});

describe('stage2Modules', () => {
  const release = '5.4.0-42-generic';
  const modules = [
    'ext4',
    'xfs',
    'vfat',
    'nls_cp437',
    'nls_iso8859-1',
    'loop',
    'crc32c_generic',
    'virtio_blk',
    'efivarfs',
  ];
  const machine = (present: readonly string[], base = `/usr/lib/modules/${release}`) => {
    const tree = sysfs([[`${pciHost}/virtio1`, 'virtio:d2v1AF4', 'virtio_blk']], {
      vda: `${pciHost}/virtio1/block/vda`,
    });
    for (const name of present) tree.files[`${base}/kernel/${name}.ko`] = `ELF ${name}`;
    tree.files[`${base}/modules.dep`] = present.map((name) => `kernel/${name}.ko:\n`).join('');
    tree.files[`${base}/modules.alias`] = 'alias virtio:d2v* virtio_blk\nalias crypto-crc32c crc32c_generic\n';
    tree.links['/lib'] = 'usr/lib';
    return createMemoryHost(tree);
  };
  const request = { release, blockDevices: ['vda'], fileSystems: ['ext4', 'xfs', 'vfat'], uefi: false };

  it('lists disk drivers, file systems and what the kernel asks for at run time', async () => {
    const found = await stage2Modules(machine(modules), request);
    expect(found.missing).toEqual([]);
    expect(found.modules.map((module) => module.name)).toEqual([
      ...['virtio_blk', 'crc32c_generic', 'nls_iso8859_1', 'ext4', 'xfs', 'vfat', 'nls_cp437', 'loop'],
    ]);
    expect(found.modules[0]).toEqual({
      name: 'virtio_blk',
      path: `/lib/modules/${release}/kernel/virtio_blk.ko`,
      sizeBytes: 14,
    });
  });

  it('adds the firmware variables on UEFI', async () => {
    const found = await stage2Modules(machine(modules), { ...request, uefi: true });
    expect(found.modules.map((module) => module.name)).toContain('efivarfs');
  });

  it('misses only what it cannot do without', async () => {
    const found = await stage2Modules(machine(['ext4', 'vfat']), { ...request, uefi: true });
    expect(found.missing).toEqual(['virtio_blk', 'xfs', 'nls_cp437', 'loop', 'efivarfs']);
  });

  it('misses everything where the modules of this kernel are gone', async () => {
    const found = await stage2Modules(createMemoryHost(), { ...request, blockDevices: [] });
    expect(found).toMatchObject({ modules: [], missing: ['ext4', 'xfs', 'vfat', 'nls_cp437', 'loop'] });
  });

  describe('beyond the disks', () => {
    const adapter = `${pciHost}/0000:00:19.0`;
    const tree = sysfs([[adapter, 'pci:v00008086d00001502', 'e1000e']], {});
    const files = [
      ['ext4', 'kernel/fs'],
      ['e1000e', 'kernel/drivers/net'],
      ['ptp', 'kernel/drivers/ptp'],
      ['af_packet', 'kernel/net/packet'],
      ['iTCO_wdt', 'kernel/drivers/watchdog'],
      ['softdog', 'kernel/drivers/watchdog'],
      ['sp5100_tco', 'kernel/drivers/watchdog'],
    ] as const;
    const host = createMemoryHost({
      files: {
        ...tree.files,
        '/sys/module/iTCO_wdt/refcnt': '1',
        '/sys/module/softdog/refcnt': '1',
        '/sys/module/ext4/refcnt': '1',
        [`/lib/modules/${release}/modules.dep`]: files
          .map(([name, path]) => `${path}/${name}.ko:${name === 'e1000e' ? ' kernel/drivers/ptp/ptp.ko' : ''}\n`)
          .join(''),
        ...Object.fromEntries(files.map(([name, path]) => [`/lib/modules/${release}/${path}/${name}.ko`, 'module'])),
      },
      links: tree.links,
    });
    const find = (networkDevices: readonly string[]) =>
      stage2Modules(host, { ...request, blockDevices: [], fileSystems: ['ext4'], networkDevices });
    const names = (modules: readonly { readonly name: string }[]) => modules.map(({ name }) => name);

    it('takes the drivers of watchdogs that are loaded, but not of one made of software', async () => {
      expect(names((await find([])).modules)).toEqual(['iTCO_wdt', 'ext4']);
    });

    it('gives apart what a network interface needs', async () => {
      const { modules, networkModules } = await find([`/sys/devices/${adapter}`]);
      expect(names(networkModules)).toEqual(['ptp', 'e1000e', 'af_packet']);
      expect(names(modules)).toEqual(['iTCO_wdt', 'ext4']);
      expect((await find([])).networkModules).toEqual([]);
    });
  });
});
