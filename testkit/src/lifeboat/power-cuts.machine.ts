// A machine with a lifeboat comes through power cuts at any moment of stage 2 by itself.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ArmedMachine, armMachine } from './armed-machine.ts';
import { type Cut, runWithCuts, seededRandom } from './power-cuts.ts';

const seed = Number(process.env.MIGRATE_CUTS_SEED ?? 20_261_121);

describe('a machine with BIOS', () => {
  let armed: ArmedMachine;
  beforeAll(async () => {
    armed = await armMachine({ shape: 'bios-mbr', memoryMib: 384, payloadMib: 8, copies: 'overlay' });
  });
  afterAll(() => armed?.close());

  it('migrates without a cut', async () => {
    const { end, log } = await runWithCuts(armed, []);
    console.log(log);
    expect(end).toBe('new-complete');
  });

  it('comes through cuts', async () => {
    const random = seededRandom(seed);
    const cuts: Cut[] = [
      { after: /point of no return/, milliseconds: 500 + 1000 * random() },
      { after: /started from the lifeboat/, milliseconds: 6000 * random() },
    ];
    const { end, log } = await runWithCuts(armed, cuts);
    console.log(log);
    expect(end).toBe('new-complete');
  });
});
