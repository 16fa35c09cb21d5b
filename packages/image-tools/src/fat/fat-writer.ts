// Writes a few small files into a FAT, such that at any time the old files or the new ones are there. See docs/decisions/005-fat-writer.md.
import { type ByteWriter, MigrateError, readExactly } from '@migrate/core';
import { readDirectoryBytes } from './directory-bytes.ts';
import { type DirectoryEditor, type EntryFields, editDirectory, newDirectory } from './directory-editor.ts';
import { checkFat } from './fat-check.ts';
import { attributeDirectory, entryNamed, type FatEntry } from './fat-directory.ts';
import { clusterStart, type FatGeometry } from './fat-geometry.ts';
import { type FatVolume, openFat } from './fat-reader.ts';
import { fatTable } from './fat-table.ts';
import { type FatTime, fatTimeOf } from './fat-time.ts';
import { editTable, type TableEditor } from './table-editor.ts';

export interface FatFile {
  /** From the root: "/system-connections/office.nmconnection". Directories that are missing are made. */
  readonly path: string;
  readonly contents: Uint8Array;
}

const attributeArchive = 0x20;

/**
 * Adds files to the FAT that is all of `target`, or replaces their contents; names count without case, as everywhere on FAT.
 * Files that are there already with the same contents stay untouched, and so does everything else. `modified` is their time.
 *
 * All is decided before the first write: a damaged file system (`invalid-input`), too little space (`no-space`) or a directory
 * of that name leave it as it was. A replaced file needs space for both contents at once. Writes in this order, each durable
 * before the next: clusters that nothing leads to, tables, directories, and last what was replaced becomes free. So a write
 * that is cut off leaves each file old or new, and at worst clusters that are lost.
 */
export async function writeFatFiles(
  target: ByteWriter,
  { files, modified }: { files: readonly FatFile[]; modified: Date },
): Promise<void> {
  refuseTwins(files);
  const volume = await openFat(target);
  const table = await editTable(target, volume.geometry);
  await checkFat(volume, table);
  const changes = await planChanges(target, { volume, table, files, modified });
  if (changes.contents.length === 0) return;
  for (const write of changes.contents) await write();
  for (const directory of changes.directories) await directory.writeNewClusters(target);
  await target.flush();
  await table.write(target);
  await target.flush();
  for (const directory of changes.directories) await directory.writeChanges(target);
  await target.flush();
  table.free(changes.replacedClusters);
  await table.write(target);
  await writeFreeClusters(target, volume.geometry, table);
  await target.flush();
}

function refuseTwins(files: readonly FatFile[]): void {
  const paths = files.map(({ path }) => path.toLowerCase());
  const twin = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twin !== undefined) throw new MigrateError('invalid-input', `two files are called ${twin}`);
}

interface ChangeRequest {
  readonly volume: FatVolume;
  readonly table: TableEditor;
  readonly files: readonly FatFile[];
  readonly modified: Date;
}

interface Changes {
  readonly contents: readonly (() => Promise<void>)[];
  readonly directories: readonly DirectoryEditor[];
  readonly replacedClusters: readonly number[];
}

async function planChanges(target: ByteWriter, { volume, table, files, modified }: ChangeRequest): Promise<Changes> {
  const { geometry } = volume;
  const time = fatTimeOf(modified);
  const directories = directoryEditors(target, { volume, table, time });
  const contents: (() => Promise<void>)[] = [];
  const replacedClusters: number[] = [];
  const written = new Set<number>();
  for (const file of files) {
    const { directory, name } = await directories.parentOf(file.path);
    const found = entryNamed(directory.entries(), name);
    if (found?.kind === 'directory') throw new MigrateError('invalid-input', `${file.path} is a directory`);
    if (found !== undefined && written.has(found.inode)) {
      throw new MigrateError('invalid-input', `${file.path} is also the short name of another file that is written`);
    }
    if (found !== undefined && (await hasContents(volume, found, file.contents))) continue;
    const clusters = table.allocate(Math.ceil(file.contents.length / geometry.clusterBytes));
    contents.push(() => writeContents(target, geometry, { clusters, contents: file.contents }));
    const fields: EntryFields = {
      firstCluster: clusters[0] ?? 0,
      sizeBytes: file.contents.length,
      attributes: attributeArchive,
      time,
    };
    if (found === undefined) written.add(directory.add(name, fields));
    else {
      directory.replace(found, fields);
      written.add(found.inode);
      replacedClusters.push(...chainOf(table, found));
    }
  }
  return { contents, directories: directories.all(), replacedClusters };
}

/** Finds directories by path and makes missing ones; each is edited once, whatever lies in it. */
function directoryEditors(
  target: ByteWriter,
  { volume, table, time }: Pick<ChangeRequest, 'volume' | 'table'> & { time: FatTime },
) {
  const { geometry } = volume;
  const editors = new Map<number, DirectoryEditor>();

  const editorOf = async (entry: FatEntry): Promise<DirectoryEditor> => {
    const known = editors.get(entry.firstCluster);
    if (known !== undefined) return known;
    const chain = { reader: target, geometry, table: fatTable(target, geometry), firstCluster: entry.firstCluster };
    const editor = editDirectory(await readDirectoryBytes(chain, entry), { geometry, table });
    editors.set(entry.firstCluster, editor);
    return editor;
  };

  const makeDirectory = (parent: DirectoryEditor, { name, parentCluster }: { name: string; parentCluster: number }) => {
    const [cluster = 0] = table.allocate(1);
    parent.add(name, { firstCluster: cluster, sizeBytes: 0, attributes: attributeDirectory, time });
    const editor = newDirectory({ geometry, table }, { cluster, parentCluster, time });
    editors.set(cluster, editor);
    return { cluster, editor };
  };

  return {
    all: () => [...editors.values()],
    parentOf: async (path: string): Promise<{ directory: DirectoryEditor; name: string }> => {
      const parts = path.split('/').filter((part) => part !== '');
      const name = parts.pop() ?? '';
      let directory = await editorOf(volume.root);
      let parentCluster = volume.root.firstCluster;
      for (const part of parts) {
        const found = entryNamed(directory.entries(), part);
        if (found?.kind === 'file') throw new MigrateError('invalid-input', `${part} in ${path} is a file`);
        if (found !== undefined) {
          directory = await editorOf(found);
          parentCluster = found.firstCluster;
        } else {
          const made = makeDirectory(directory, { name: part, parentCluster });
          directory = made.editor;
          parentCluster = made.cluster;
        }
      }
      return { directory, name };
    },
  };
}

async function hasContents(volume: FatVolume, entry: FatEntry, contents: Uint8Array): Promise<boolean> {
  if (entry.sizeBytes !== contents.length) return false;
  const found = Buffer.alloc(contents.length);
  await volume.open(entry).read(found, 0);
  return found.equals(contents);
}

function chainOf(table: TableEditor, { firstCluster }: FatEntry): number[] {
  const clusters: number[] = [];
  const first = firstCluster === 0 ? undefined : firstCluster;
  for (let cluster = first; cluster !== undefined; cluster = table.next(cluster)) clusters.push(cluster);
  return clusters;
}

/** Writes neighbouring clusters together, and zeros behind the end of the file. */
async function writeContents(
  target: ByteWriter,
  geometry: FatGeometry,
  { clusters, contents }: { clusters: readonly number[]; contents: Uint8Array },
): Promise<void> {
  const bytes = Buffer.alloc(clusters.length * geometry.clusterBytes);
  bytes.set(contents);
  let start = 0;
  for (const [index, cluster] of clusters.entries()) {
    if (clusters[index + 1] === cluster + 1) continue;
    const part = bytes.subarray(start * geometry.clusterBytes, (index + 1) * geometry.clusterBytes);
    await target.write(part, clusterStart(geometry, clusters[start] ?? cluster));
    start = index + 1;
  }
}

/** FSInfo of FAT32 (specification, section 5): number of free clusters, and where to look for one. Others have none. */
async function writeFreeClusters(target: ByteWriter, geometry: FatGeometry, table: TableEditor): Promise<void> {
  if (geometry.infoStartByte === undefined) return;
  const sector = await readExactly(target, geometry.infoStartByte, 512);
  const isSound =
    sector?.readUInt32LE(0) === 0x41615252 &&
    sector.readUInt32LE(484) === 0x61417272 &&
    sector.readUInt16LE(510) === 0xaa55;
  if (sector === undefined || !isSound) return;
  sector.writeUInt32LE(table.freeClusters(), 488);
  const hint = table.lastAllocated();
  if (hint !== undefined) sector.writeUInt32LE(hint, 492);
  await target.write(sector, geometry.infoStartByte);
}
