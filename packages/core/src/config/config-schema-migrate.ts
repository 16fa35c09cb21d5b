// The section `migrate` of the configuration file.
import { backup, identity } from './config-schema-backup.ts';
import {
  absolutePath,
  commandLine,
  devicePath,
  fileReference,
  fileReferenceItem,
  logServerUrl,
  longestWaitSeconds,
  oneLine,
} from './config-schema-values.ts';

const remote = {
  type: ['object', 'null'],
  description: 'Server that the log is sent to while migrate works, so that a machine without a screen can be watched.',
  properties: {
    url: {
      type: 'string',
      pattern: logServerUrl,
      description:
        '`http://` or `https://`: JSON lines are posted there; `syslog+udp://`, `syslog+tcp://` or `syslog+tls://` with host and port: RFC 5424. User and password in it are never shown; keep the file to yourself (mode 0600).',
      examples: ['https://logs.example.com/migrate'],
    },
    root_ca: {
      type: ['string', 'null'],
      pattern: oneLine,
      description:
        'Certificate authority of the server where no public one has signed its certificate: the PEM file in base64, as `balenaRootCA` of config.json is.',
      examples: ['LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI='],
    },
    stage2: {
      type: ['boolean', 'null'],
      default: true,
      description:
        'Whether stage 2 sends its log too. It gets an address by DHCP on a wired interface that is in use when the plan is made; Wi-Fi is not possible there. No network is no reason to fail.',
      examples: [false],
    },
  },
  required: ['url'],
  additionalProperties: false,
} as const;

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
        'Partition with FAT or ext4, or a disk with one such partition, that keeps the log of stage 2 whatever happens, as `migrate.log`. It must not lie on the disk that is flashed. Names in `/dev/disk/by-uuid`, `by-label`, `by-partuuid` and `by-partlabel` are understood.',
      examples: ['/dev/sdb1'],
    },
    console: {
      type: ['boolean', 'null'],
      default: true,
      description: 'Whether stage 2 shows its log on the console. What comes before and after it is always shown.',
      examples: [true],
    },
    remote,
  },
  additionalProperties: false,
} as const;

const watchdogs = {
  type: ['array', 'null'],
  default: [],
  description:
    'Hardware watchdogs that stage 2 feeds or stops. Those that run when the plan is made are fed without being listed here.',
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
        description:
          'Most seconds between two feedings; left out: 10. A third of what the device tells counts where that is less.',
        examples: [10],
      },
      close: {
        type: ['boolean', 'null'],
        description:
          '`true`: stop the watchdog when stage 2 starts. Left out or `false`: start it and feed it, so that a stage 2 that hangs is reset into the old system.',
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
        'Whether to take over fixed addresses and 802.1X of wired interfaces, and connections of NetworkManager other than Wi-Fi. Interfaces with DHCP need nothing.',
      examples: [false],
    },
    proxy: {
      type: ['boolean', 'null'],
      default: true,
      description:
        'Whether the new system sends all its TCP connections through the https proxy that this one has in /etc/environment, in profiles of login shells or in the environment of systemd. One that cannot be taken over is refused.',
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
      description:
        'Kernel that stage 2 runs on; left out: the running one, which is known to drive this machine. Another one is taken on a PC, where this system has its modules in `/lib/modules`; else the running one is, which is said.',
      examples: [{ path: '/boot/vmlinuz-6.12.12+bpo-amd64' }],
    },
    initrd: {
      ...fileReference,
      description: "Initramfs that goes with it. This migrator makes one of its own for this machine's kernel.",
      examples: [{ path: 'balena.initramfs.cpio.gz' }],
      'x-support': 'ignored',
    },
    device_tree: {
      type: ['array', 'null'],
      default: [],
      description: "Device tree blobs that go with it. This migrator uses this machine's own.",
      items: fileReferenceItem,
      examples: [[{ path: 'balena.dtb' }]],
      'x-support': 'ignored',
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
      description:
        'Disk to flash; left out: the one that this system boots from. Another one is only of use where the firmware can start from it: a Raspberry Pi refuses it, a PC with a BIOS warns.',
      examples: ['/dev/sda'],
    },
    staging: {
      type: ['string', 'null'],
      enum: ['auto', 'ram', 'lifeboat', 'late-lifeboat', null],
      default: 'auto',
      description:
        'Where the image lies while the disk is flashed. `lifeboat`: on the disk itself, behind what the image writes, bootable on its own, so that a power cut at any moment leaves a machine that boots; `ram`: in RAM only; `late-lifeboat`: the same, but made by stage 2 over files of the old system, for a disk that is full or whose free room is in pieces; `auto`: in a lifeboat wherever one can be made. The plan says which, and why.',
      examples: ['lifeboat'],
    },
    require_grade: {
      type: ['string', 'null'],
      enum: ['A', 'B', 'C', null],
      description:
        'The least safety against power cuts while the disk is flashed that is accepted: `A`, no moment at which the machine would not boot; `B`, one whose bytes and seconds the plan names (Beagle boards with boot loaders before their partitions); `C`, while flashing. Less is refused.',
      examples: ['A'],
    },
    windows_boot: {
      type: ['string', 'null'],
      enum: ['boot-next', 'boot-manager', null],
      default: 'boot-next',
      description:
        "How a machine with Windows is made to start stage 2. `boot-next`: the firmware's own one-shot, which touches nothing of Windows. `boot-manager`: for firmware that ignores it, a loader in place of Windows' boot manager, which it starts ever after.",
      examples: ['boot-manager'],
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
        'What stage 2 does when it fails: `Reboot`; or `RescueShell`, which first offers a shell on the console for five minutes, and again and again where the disk is not complete.',
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
