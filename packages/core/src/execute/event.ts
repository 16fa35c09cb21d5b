/** What happened, as data: the only output of library code. Renderers live in the command-line packages. */
export type Event =
  | { readonly kind: 'step-started'; readonly step: string; readonly text: string }
  | {
      readonly kind: 'progress';
      readonly text: string;
      readonly done: number;
      readonly total: number;
      readonly unit: 'bytes' | 'files';
    }
  | { readonly kind: 'step-done'; readonly step: string; readonly milliseconds: number }
  | { readonly kind: 'step-undone'; readonly step: string }
  | { readonly kind: 'step-failed'; readonly step: string; readonly text: string }
  | { readonly kind: 'note'; readonly level: LogLevel; readonly text: string };

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Receives events. It must not throw: a failing log sink never fails a migration. */
export type Emit = (event: Event) => void;
