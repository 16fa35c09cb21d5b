// The image that a flasher image installs: a plain file in its root file system.
import { type ByteRange, type ByteReader, type FileTree, MigrateError, quoted, type TreeEntry } from '@migrate/core';
import { openPartitionTree } from '../extract/partition-tree.ts';
import { type Inspection, inspectImage } from '../inspect/inspect-image.ts';
import { readBootFile } from './boot-files.ts';

export interface InnerImage {
  /** In the root file system of the flasher: "/opt/balena-image-genericx86-64.balenaos-img". */
  readonly path: string;
  /** The image; it reads as long as the flasher image is open. */
  readonly reader: ByteReader;
  /** Ranges that hold data; between them it reads as zeros. */
  readonly dataRanges: readonly ByteRange[];
  readonly inspection: Inspection;
}

const folder = 'opt';
/** balenaOS calls it so since v2.72.0 of 2021, and before in the second way; MACHINE is Yocto's name, not balena's slug. */
const namePatterns = [/^balena-image-(?!flasher-).+\.balenaos-img$/, /^resin-image-(?!flasher-).+\.resinos-img$/];

/**
 * Finds the inner image of a flasher image: by the artifact that device-type.json names, else by the names that balenaOS gives,
 * else the only file in /opt (as the oldest had it). Throws `wrong-image` where `inspection` is of no flasher image, where there
 * is no such file or more than one, and where it is no raw image of balenaOS.
 */
export async function openInnerImage(image: ByteReader, inspection: Inspection): Promise<InnerImage> {
  const root = inspection.table.partitions[inspection.labels['flash-rootA'] ?? -1];
  if (inspection.kind !== 'balena-flasher' || root === undefined)
    throw new MigrateError('wrong-image', 'it is no flasher image: there is no other image inside of it');
  const { tree } = await openPartitionTree(image, root);
  const artifact = artifactOf(await readBootFile(image, inspection, '/device-type.json'));
  const entry = chooseImage(await filesIn(tree), artifact?.replace('flasher-', ''));
  const path = `/${folder}/${nameOf(entry)}`;
  const reader = tree.open(entry);
  const inner = await inspectImage(reader);
  if (inner.kind !== 'balena-raw')
    throw new MigrateError('wrong-image', `${path} inside of it is no image of balenaOS as it runs from a disk`);
  return { path, reader, dataRanges: await tree.dataRanges(entry), inspection: inner };
}

async function filesIn(tree: FileTree): Promise<readonly TreeEntry[]> {
  const directory = (await tree.children(tree.root)).find((entry) => nameOf(entry) === folder);
  if (directory?.kind !== 'directory') throw new MigrateError('wrong-image', `its flash-rootA has no /${folder}`);
  return (await tree.children(directory)).filter(({ kind }) => kind === 'file');
}

/** The one file that is the inner image; `expectedName` is what device-type.json leads to. */
export function chooseImage(files: readonly TreeEntry[], expectedName: string | undefined): TreeEntry {
  const expected = files.find((file) => nameOf(file) === expectedName);
  if (expected !== undefined) return expected;
  for (const pattern of [...namePatterns, /./]) {
    const matching = files.filter((file) => pattern.test(nameOf(file)));
    const [first] = matching;
    if (first !== undefined && matching.length === 1) return first;
    if (first !== undefined) {
      const names = matching.slice(0, 5).map((file) => quoted(nameOf(file)));
      throw new MigrateError(
        'wrong-image',
        `its /${folder} has several files that may be the image: ${names.join(', ')}`,
      );
    }
  }
  throw new MigrateError('wrong-image', `its /${folder} is empty: there is no image inside of it`);
}

function nameOf({ name }: TreeEntry): string {
  return Buffer.from(name).toString('utf8');
}

/** `yocto.deployArtifact` of device-type.json: the name of the flasher image itself. */
function artifactOf(bytes: Uint8Array | undefined): string | undefined {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes ?? new Uint8Array()));
    if (!isRecord(parsed) || !isRecord(parsed.yocto)) return undefined;
    const { deployArtifact } = parsed.yocto;
    return typeof deployArtifact === 'string' ? deployArtifact : undefined;
  } catch {
    // The name is one of several ways to find the file.
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
