/**
 * Does `work` for each item, `atOnce` of them at a time, in order of their start. The first failure cancels those under way by
 * the signal that they are given, and is thrown when all of them have ended; so does `signal`.
 */
export async function sideBySide<T>(
  items: readonly T[],
  atOnce: number,
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const cancel = new AbortController();
  const signals = signal === undefined ? cancel.signal : AbortSignal.any([signal, cancel.signal]);
  let first: { readonly thrown: unknown } | undefined;
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined && first === undefined; item = waiting.shift()) {
      try {
        await work(item, signals);
      } catch (thrown) {
        first ??= { thrown };
        cancel.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  if (first !== undefined) throw first.thrown;
}
