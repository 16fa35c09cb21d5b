// What an archive holds, by a reader that is not ours: for tests.
import { extract, type Header } from 'tar-stream';

export async function readTarBack(archive: Buffer): Promise<{ header: Header; contents: Buffer }[]> {
  const reader = extract();
  reader.end(archive);
  const members: { header: Header; contents: Buffer }[] = [];
  for await (const member of reader) {
    const parts: Buffer[] = [];
    for await (const part of member) parts.push(part as Buffer);
    members.push({ header: member.header, contents: Buffer.concat(parts) });
  }
  return members;
}
