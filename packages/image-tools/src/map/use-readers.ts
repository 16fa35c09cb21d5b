import { MigrateError } from '@migrate/core';
import type { UseReaders } from './used-blocks.ts';

const no = async (): Promise<never> => {
  throw new MigrateError('unsupported', 'not yet');
};
/** The file systems that are understood block by block. */
export const useReaders: UseReaders = { ext: no, fat: no };
