/* A wall clock that is off by a number of seconds, for a process that is started behind this library.
 *
 * Loaded with LD_PRELOAD. The number is the int64_t in the file named in CLOCK_OFFSET, in the machine's order of bytes,
 * mapped: it is in force as soon as it is written. Only the wall clock is off. A wait until a time of that clock, as
 * librdkafka's threads have them, ends when the clock shows it that is off as it was when the wait began. Nothing here
 * allocates, for an allocator may ask for the time before it can. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*timed_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static const volatile int64_t none = 0;
static const volatile int64_t *offset = &none;
static timed_wait wait_of_libc;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    /* A process that is to have another clock must not go by the right one. */
    if (mapped == MAP_FAILED) abort();
    close(file);
    wait_of_libc = (timed_wait)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    if (!wait_of_libc) abort();
    offset = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec wall;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &wall);
    now->tv_sec = wall.tv_sec;
    now->tv_usec = wall.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    if (now) *now = wall.tv_sec;
    return wall.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict changed, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec really = *until;
    really.tv_sec -= *offset;
    return wait_of_libc(changed, mutex, &really);
}
