// The section `migrate` of the configuration file.
import { backup, identity } from './config-schema-backup.ts';
import {
  absolutePath,
  commandLine,
  devicePath,
  fileReference,
  fileReferenceItem,
  longestWaitSeconds,
  oneLine,
} from './config-schema-values.ts';

const log = {
  type: ['object', 'null'],
  description: 'How stage 2 logs.',
  properties: {
    level: {
      type: ['string', 'null'],
      enum: ['trace', 'debug', 'info', 'warn', 'error', null],
      default: 'info',
      description: 'The least important messages that stage 2 still logs.',
      examples: ['info'],
    },
    drive: {
      type: ['string', 'null'],
      pattern: devicePath,
      description:
        'Partition that keeps the log of stage 2 whatever happens. It must not lie on the disk that is flashed.',
      examples: ['/dev/sdb1'],
      'x-support': 'refused',
    },
    console: {
      type: ['boolean', 'null'],
      default: true,
      description: 'Whether stage 2 shows its log on the console. This version always does.',
      examples: [true],
      'x-support': 'ignored',
    },
  },
  additionalProperties: false,
} as const;

const watchdogs = {
  type: ['array', 'null'],
  default: [],
  description: 'Hardware watchdogs that stage 2 must close or keep fed.',
  'x-support': 'refused',
  items: {
    type: 'object',
    properties: {
      path: {
        type: 'string',
        pattern: absolutePath,
        description: 'The watchdog device.',
        examples: ['/dev/watchdog1'],
      },
      interval: {
        type: ['integer', 'null'],
        minimum: 1,
        maximum: longestWaitSeconds,
        description: 'Seconds between two kicks; left out: as the device tells.',
        examples: [10],
      },
      close: {
        type: ['boolean', 'null'],
        description: '`false`: do not close the device but kick it; left out: as the device tells.',
        examples: [false],
      },
    },
    required: ['path'],
    additionalProperties: false,
  },
} as const;

const uboot = {
  type: ['object', 'null'],
  description: 'How a BeagleBone or BeagleBoard is made to start stage 2.',
  'x-support': 'ignored',
  properties: {
    strategy: {
      type: ['string', 'object', 'null'],
      pattern: '^manual$',
      default: { uname: '4.1.4.53-balenaOS-2.38.0+rev1' },
      description: '`manual`, or `uname:` with the kernel name that the boot files are given.',
      examples: ['manual'],
      properties: {
        uname: {
          type: 'string',
          pattern: oneLine,
          description: 'Kernel name as in `uname_r` of uEnv.txt.',
          examples: ['4.1.4.53-balenaOS-2.38.0+rev1'],
        },
      },
      required: ['uname'],
      additionalProperties: false,
    },
    mmc_index: {
      type: ['integer', 'null'],
      minimum: 0,
      maximum: 1,
      description:
        'Number of the boot medium as U-Boot counts: 0 is the SD card, 1 the eMMC; left out: as usual for the board.',
      examples: [1],
    },
  },
  additionalProperties: false,
} as const;

export const migrateSection = {
  type: ['object', 'null'],
  description: 'What is done on the running system.',
  properties: {
    mode: {
      type: ['string', 'null'],
      enum: ['pretend', 'immediate', 'connected', 'extract', null],
      default: 'pretend',
      description:
        '`pretend` checks everything and changes nothing, `immediate` migrates, `connected` first fetches the image that `balena.image.download` asks for. This version refuses `extract`, which only takes an image apart.',
      examples: ['pretend'],
    },
    work_dir: {
      type: ['string', 'null'],
      pattern: oneLine,
      default: '.',
      description: 'Directory that relative paths start in. A relative one starts in the current directory.',
      examples: ['/root/migrate'],
    },
    reboot: {
      type: ['integer', 'null'],
      minimum: 0,
      maximum: longestWaitSeconds,
      description: 'Seconds until the reboot into stage 2; left out: everything is prepared and you reboot.',
      examples: [5],
    },
    all_wifis: {
      type: ['boolean', 'null'],
      default: false,
      description:
        'Whether to take over every Wi-Fi network that this system knows from wpa_supplicant, connman, NetworkManager, netplan or ifupdown.',
      examples: [true],
    },
    wifis: {
      type: ['array', 'null'],
      default: [],
      description: 'SSIDs of the only Wi-Fi networks to take over; one that this system does not know is refused.',
      items: { type: 'string', pattern: oneLine, description: 'An SSID.', examples: ['my-ssid'] },
      examples: [['my-ssid']],
    },
    wired: {
      type: ['boolean', 'null'],
      default: true,
      description:
        'Whether to take over fixed addresses of wired interfaces, and connections of NetworkManager other than Wi-Fi. Interfaces with DHCP need nothing.',
      examples: [false],
    },
    nwmgr_files: {
      type: ['array', 'null'],
      default: [],
      description: 'NetworkManager connection files for the new system; a relative path starts in `migrate.work_dir`.',
      items: { type: 'string', pattern: oneLine, description: 'Path of a connection file.', examples: ['eth0_static'] },
      examples: [['eth0_static']],
    },
    require_nwmgr_config: {
      type: ['boolean', 'null'],
      default: true,
      description:
        'Whether to refuse when no network connection is taken along. `false` is safe where wired DHCP is enough.',
      examples: [false],
    },
    log,
    kernel: {
      ...fileReference,
      description: "Kernel for stage 2; left out: this machine's own.",
      examples: [{ path: 'balena.zImage' }],
      'x-support': 'refused',
    },
    initrd: {
      ...fileReference,
      description: "Initramfs for stage 2; left out: one made for this machine's kernel.",
      examples: [{ path: 'balena.initramfs.cpio.gz' }],
      'x-support': 'refused',
    },
    device_tree: {
      type: ['array', 'null'],
      default: [],
      description: 'Device tree blobs for stage 2.',
      items: fileReferenceItem,
      examples: [[{ path: 'balena.dtb' }]],
      'x-support': 'refused',
    },
    kernel_opts: {
      type: ['string', 'null'],
      pattern: commandLine,
      default: '',
      description: 'Words to add to the kernel command line of stage 2, separated by blanks.',
      examples: ['panic=20'],
    },
    force_flash_device: {
      type: ['string', 'null'],
      pattern: devicePath,
      description: 'Disk to flash; left out: the one that this system boots from.',
      examples: ['/dev/sda'],
    },
    delay: {
      type: ['integer', 'null'],
      minimum: 0,
      maximum: longestWaitSeconds,
      default: 0,
      description: 'Seconds that stage 2 waits before it begins.',
      examples: [60],
    },
    fail_mode: {
      type: ['string', 'null'],
      enum: ['Reboot', 'RescueShell', null],
      default: 'Reboot',
      description:
        'What stage 2 does when it fails: `Reboot`, or `RescueShell` on the console. This version refuses `RescueShell`.',
      examples: ['Reboot'],
    },
    backup,
    identity,
    watchdogs,
    gzip_internal: {
      type: ['boolean', 'null'],
      default: true,
      description: '`false` asks for the external gzip command. This version warns and inflates the image itself.',
      examples: [true],
      'x-support': 'ignored',
    },
    tar_internal: {
      type: ['boolean', 'null'],
      default: true,
      description: '`false` asks for the external tar command. This version has no use for either.',
      examples: [true],
      'x-support': 'ignored',
    },
    uboot,
  },
  additionalProperties: false,
} as const;
