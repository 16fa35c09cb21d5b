import { chainClusters, type FatChain, fileReader } from './fat-chain.ts';
import { type FatDirectoryBytes, type FatEntry, maximumDirectoryBytes } from './fat-directory.ts';
import { clusterStart, damaged, type FatGeometry } from './fat-geometry.ts';

/** As in Linux (MSDOS_ROOT_INO); no entry can lie at this byte. */
export const rootInode = 1;

/** All bytes of a directory. Throws `invalid-input` for one that is broken or has more entries than there may be. */
export async function readDirectoryBytes(chain: FatChain, { inode }: FatEntry): Promise<FatDirectoryBytes> {
  const { reader, geometry } = chain;
  const { root, clusterBytes } = geometry;
  if (inode === rootInode && 'startByte' in root) {
    const bytes = Buffer.alloc(root.sizeBytes);
    if ((await reader.read(bytes, root.startByte)) !== bytes.length) throw damaged('it is cut off');
    return { bytes, clusters: [], placeOf: (offset) => root.startByte + offset };
  }
  const isRoot = inode === rootInode && 'firstCluster' in root;
  const whole = isRoot ? { ...chain, firstCluster: root.firstCluster } : chain;
  const clusters = await chainClusters(whole, Math.max(1, Math.floor(maximumDirectoryBytes / clusterBytes)));
  const bytes = Buffer.alloc(clusters.length * clusterBytes);
  await fileReader(whole, bytes.length).read(bytes, 0);
  return { bytes, clusters, placeOf: (offset) => placeInClusters(geometry, clusters, offset) };
}

/** Byte of the file system at which an offset into a chain lies. */
export function placeInClusters(geometry: FatGeometry, clusters: readonly number[], offset: number): number {
  const cluster = clusters[Math.floor(offset / geometry.clusterBytes)];
  if (cluster === undefined) throw new RangeError(`offset ${offset} is not in the chain`);
  return clusterStart(geometry, cluster) + (offset % geometry.clusterBytes);
}
