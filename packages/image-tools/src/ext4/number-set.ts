const numbersPerPage = 2 ** 15;

/** A set of whole numbers that takes a bit for each where they lie close together; numbers of inodes do. */
export function numberSet(): { add(number: number): boolean } {
  const pages = new Map<number, Uint8Array>();
  return {
    /** False where the number was there already. */
    add: (number) => {
      const index = Math.floor(number / numbersPerPage);
      let page = pages.get(index);
      if (page === undefined) {
        page = new Uint8Array(numbersPerPage / 8);
        pages.set(index, page);
      }
      const offset = (number % numbersPerPage) >>> 3;
      const bit = 1 << (number & 7);
      const before = page[offset] ?? 0;
      page[offset] = before | bit;
      return (before & bit) === 0;
    },
  };
}
