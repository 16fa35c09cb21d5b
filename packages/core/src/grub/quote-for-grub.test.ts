import { describe, expect, it } from 'vitest';
import { quoteForGrub } from './quote-for-grub.ts';

describe('quoteForGrub', () => {
  it('keeps blanks, dollars and quotes as they are', () => {
    expect(quoteForGrub("a $b 'c'")).toBe("'a $b '\\''c'\\'''");
  });
});
