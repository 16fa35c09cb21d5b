// Archives made by hand for tests: hostile and broken ones, which no archiver makes.
import { tarBlockBytes } from './tar-header.ts';

export interface FixtureMember {
  readonly name: string;
  readonly type?: string;
  readonly linkName?: string;
  readonly contents?: string | Buffer;
  /** Size as the header says it; that of the contents where it is left out. */
  readonly sizeBytes?: number;
}

/** A whole archive with its end mark. */
export function tarOf(members: readonly FixtureMember[]): Buffer {
  return Buffer.concat([...members.map(tarMember), Buffer.alloc(2 * tarBlockBytes)]);
}

/** One member in ustar form: header, contents, padding. */
export function tarMember({ name, type = '0', linkName = '', contents = '', sizeBytes }: FixtureMember): Buffer {
  const body = Buffer.from(contents);
  const header = Buffer.alloc(tarBlockBytes);
  header.write(name, 0, 100, 'latin1');
  header.write('0000644\0' + '0000000\0' + '0000000\0', 100);
  header.write(`${(sizeBytes ?? body.length).toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0        ', 136);
  header.write(type, 156);
  header.write(linkName, 157, 100, 'latin1');
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc(-body.length & (tarBlockBytes - 1))]);
}

/** The extended header that stands before a member. */
export function paxHeader(records: readonly (readonly [keyword: string, value: string])[], type = 'x'): FixtureMember {
  return { name: 'pax', type, contents: Buffer.from(records.map(paxRecord).join(''), 'latin1') };
}

function paxRecord([keyword, value]: readonly [string, string]): string {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}${rest}`.length !== length) length += 1;
  return `${length}${rest}`;
}
