// Whether it is safe to write into a file system: in a damaged one, freeing a file may free clusters of another.
import type { FatEntry } from './fat-directory.ts';
import { damaged } from './fat-geometry.ts';
import type { FatVolume } from './fat-reader.ts';
import type { TableEditor } from './table-editor.ts';

/**
 * Walks the whole tree. Throws `invalid-input` where a chain is broken, two of them share a cluster, or a file has fewer
 * clusters than its size needs. Lost chains are no harm.
 */
export async function checkFat(volume: FatVolume, table: TableEditor): Promise<void> {
  const { geometry, root } = volume;
  const claimed = new Uint8Array(geometry.clusterCount + 2);
  /** Number of clusters in a chain. */
  const claimChain = (firstCluster: number, text: string): number => {
    let count = 0;
    for (let cluster: number | undefined = firstCluster; cluster !== undefined; cluster = table.next(cluster)) {
      if (claimed[cluster] === 1) throw damaged(`cluster ${cluster} of ${JSON.stringify(text)} is used twice`);
      claimed[cluster] = 1;
      count += 1;
    }
    return count;
  };
  const checkFile = ({ firstCluster, sizeBytes, text }: FatEntry): void => {
    const clusters = firstCluster === 0 ? 0 : claimChain(firstCluster, text);
    if (clusters * geometry.clusterBytes < sizeBytes) throw damaged(`${JSON.stringify(text)} ends before its size`);
  };

  if ('firstCluster' in geometry.root) claimChain(geometry.root.firstCluster, '/');
  const pending: FatEntry[] = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const entry of await volume.children(directory)) {
      if (entry.kind === 'file') checkFile(entry);
      else {
        claimChain(entry.firstCluster, entry.text);
        pending.push(entry);
      }
    }
  }
}
