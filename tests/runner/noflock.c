/* A file system without locks, by LD_PRELOAD: flock fails with the errno that FLOCK_ERRNO names. */
#include <errno.h>
#include <stdlib.h>

int flock(int descriptor, int operation) {
  (void)descriptor, (void)operation;
  errno = atoi(getenv("FLOCK_ERRNO"));
  return -1;
}
