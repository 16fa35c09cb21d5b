import { describe, expect, it } from 'vitest';
import { crashStates, epochsOf } from './crash-states.ts';
import type { LoggedWrite } from './write-log.ts';

const write = (startByte: number, sizeBytes = 512): LoggedWrite => ({
  kind: 'write',
  startByte,
  sizeBytes,
  isForced: false,
  dataByte: 0,
});
const flush: LoggedWrite = { kind: 'flush', startByte: 0, sizeBytes: 0, isForced: true, dataByte: 0 };

function states(entries: readonly LoggedWrite[]): string[] {
  return [...crashStates(entries, { unitBytes: 512 })].map(({ complete, arrived }) => {
    const said = arrived.map(({ entry, sizeBytes }) => `${entry.startByte}${sizeBytes < entry.sizeBytes ? '/' : ''}`);
    return `${complete}: ${said.join(' ')}`.trim();
  });
}

describe('the states of a power cut', () => {
  it('are the prefixes where every write is flushed', () => {
    expect(states([write(1), flush, write(2), flush])).toEqual(['0:', '0: 1', '2:', '2: 2']);
  });

  it('have each write of an epoch lost, alone and torn', () => {
    expect(states([write(1), write(2), write(3, 4096), flush])).toEqual([
      ...['0:', '0: 1', '0: 1 2', '0: 1 2 3'],
      ...['0: 2 3', '0: 1 3'],
      ...['0: 2', '0: 3'],
      '0: 1 2 3/',
    ]);
  });

  it('take what was never flushed for an epoch too', () => {
    expect(
      epochsOf([flush, write(1), flush, flush, write(2)]).map(({ start, writes }) => [start, writes.length]),
    ).toEqual([
      [1, 1],
      [4, 1],
    ]);
  });
});
