// Times of directory entries: "Microsoft FAT Specification" (2005), section 6.4. They have no time zone and are taken as UTC.

export interface FatTime {
  /** Years since 1980, month and day in 7, 4 and 5 bits. */
  readonly date: number;
  /** Hours, minutes and steps of two seconds in 5, 6 and 5 bits. */
  readonly time: number;
  /** Steps of 10 ms, 0 to 199, that the time of creation adds; other times have none. */
  readonly hundredths: number;
}

/** Nanoseconds since 1970. Fields beyond their bounds run over into the next; a month or day of 0 is the first, as in Linux. */
export function fatTimeToNs({ date, time, hundredths }: FatTime): bigint {
  const [month, day] = [Math.max(1, (date >> 5) & 0x0f), Math.max(1, date & 0x1f)];
  const [hours, minutes, seconds] = [time >> 11, (time >> 5) & 0x3f, (time & 0x1f) * 2];
  const ms = Date.UTC(1980 + (date >> 9), month - 1, day, hours, minutes, seconds, hundredths * 10);
  return BigInt(ms) * 1_000_000n;
}

/** The nearest time before; what lies outside of 1980 to 2107 becomes the first or the last that there is. */
export function fatTimeOf(moment: Date): FatTime {
  const year = moment.getUTCFullYear();
  if (year < 1980) return { date: (1 << 5) | 1, time: 0, hundredths: 0 };
  if (year > 2107) return { date: (127 << 9) | (12 << 5) | 31, time: (23 << 11) | (59 << 5) | 29, hundredths: 199 };
  const seconds = moment.getUTCSeconds();
  return {
    date: ((year - 1980) << 9) | ((moment.getUTCMonth() + 1) << 5) | moment.getUTCDate(),
    time: (moment.getUTCHours() << 11) | (moment.getUTCMinutes() << 5) | (seconds >> 1),
    hundredths: (seconds % 2) * 100 + Math.floor(moment.getUTCMilliseconds() / 10),
  };
}
