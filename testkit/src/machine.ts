/** What a program printed and how it ended. */
export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
}

export interface WaitOptions {
  readonly timeoutMs?: number;
  /** Text that tells early that the awaited will not come. */
  readonly unless?: RegExp;
}

/** An emulated machine: power, a serial console, and a way to run programs in it. Boards have the same. */
export interface Machine {
  /** All that the serial console has printed. */
  readonly log: () => string;
  onSerial(listener: (text: string) => void): void;
  /** Waits for text on the serial console after the last match; rejects with the end of the log when time or machine ends. */
  waitFor(pattern: RegExp, options?: WaitOptions): Promise<RegExpExecArray>;
  /** Runs a program in the machine through its guest agent. */
  run(command: string, args?: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a script with /bin/sh and throws where it fails. */
  runShell(script: string, options?: RunOptions): Promise<RunResult>;
  /** Waits until the guest agent answers. */
  waitForAgent(options?: { timeoutMs?: number }): Promise<void>;
  writeFile(path: string, contents: string | Uint8Array): Promise<void>;
  /** Number of write requests that the disks have taken since the machine last started, by device id. */
  writeCounts(): Promise<Readonly<Record<string, number>>>;
  /** Pulls the plug. */
  kill(): Promise<void>;
  /** Settles when the machine is off. */
  readonly exited: Promise<void>;
}
