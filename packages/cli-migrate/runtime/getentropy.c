// getentropy(3) for kernels before 3.17, which have no getrandom(2): the bytes come from /dev/urandom.
// Preloaded before libc, whose own getentropy knows only the system call. Built without libc's headers or start files,
// so its references carry no symbol versions and any glibc satisfies them.

extern int open(const char *path, int flags, ...);
extern long read(int fd, void *target, unsigned long size);
extern int close(int fd);
extern int *__errno_location(void);

enum { readOnlyCloseOnExec = 02000000, interrupted = 4, inputOutputError = 5, limitBytes = 256 };

int getentropy(void *target, unsigned long size) {
  unsigned long done = 0;
  int fd = size <= limitBytes ? open("/dev/urandom", readOnlyCloseOnExec) : -1;
  while (fd >= 0 && done < size) {
    long got = read(fd, (char *)target + done, size - done);
    if (got > 0) done += (unsigned long)got;
    else if (got == 0 || *__errno_location() != interrupted) break;
  }
  if (fd >= 0) close(fd);
  if (fd >= 0 && done == size) return 0;
  *__errno_location() = inputOutputError;
  return -1;
}
