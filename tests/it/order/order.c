/* Writes down the order of a process's reads, writes and fsyncs, in the form of `strace -f -y -xx`.
 *
 * Loaded with LD_PRELOAD; the trace goes to the file named in ORDER_TRACE. What goes to a socket is
 * noted before the call, everything else after it, an fsync at both ends: so an order that the trace
 * shows is one that was. Calls that failed are not noted, except fsync. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;

static void put(const char *bytes, size_t length) {
    while (length > 0) {
        long done = syscall(SYS_write, trace, bytes, length);
        if (done < 0) abort();
        bytes += done;
        length -= done;
    }
}

static void put_hexadecimal(const unsigned char *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    char out[4096];
    size_t filled = 0;
    for (size_t i = 0; i < length; i++) {
        if (filled + 4 > sizeof out) put(out, filled), filled = 0;
        out[filled++] = '\\';
        out[filled++] = 'x';
        out[filled++] = digits[bytes[i] >> 4];
        out[filled++] = digits[bytes[i] & 15];
    }
    put(out, filled);
}

/* Whether the descriptor is a socket or a write-ahead log; what it stands for goes to `file`. */
static int of_interest(int fd, char file[4096]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, file, 4095);
    if (length < 0) return 0;
    file[length] = 0;
    return strncmp(file, "socket:", 7) == 0 || (length > 4 && strcmp(file + length - 4, "-wal") == 0);
}

static void begin_line(const char *name, int fd, const char *file) {
    if (trace < 0) {
        const char *path = getenv("ORDER_TRACE");
        trace = open(path ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (trace < 0) abort();
    }
    char head[128];
    put(head, snprintf(head, sizeof head, "%ld %s(%d<", syscall(SYS_gettid), name, fd));
    put_hexadecimal((const unsigned char *)file, strlen(file));
}

static void note(const char *name, int fd, const struct iovec *parts, int count, ssize_t length) {
    char file[4096], end[64];
    int before = errno;
    if (length >= 0 && of_interest(fd, file)) {
        pthread_mutex_lock(&one_at_a_time);
        begin_line(name, fd, file);
        put(">, \"", 4);
        size_t left = length;
        for (int i = 0; i < count && left > 0; i++) {
            size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
            put_hexadecimal(parts[i].iov_base, part);
            left -= part;
        }
        put(end, snprintf(end, sizeof end, "\") = %zd\n", length));
        pthread_mutex_unlock(&one_at_a_time);
    }
    errno = before;
}

static void note_sync(const char *name, int fd, int begins, int returned) {
    char file[4096], line[128];
    int before = errno;
    if (of_interest(fd, file)) {
        pthread_mutex_lock(&one_at_a_time);
        if (begins) {
            begin_line(name, fd, file);
            put("> <unfinished ...>\n", 19);
        } else {
            put(line, snprintf(line, sizeof line, "%ld <... %s resumed>) = %d\n", syscall(SYS_gettid), name, returned));
        }
        pthread_mutex_unlock(&one_at_a_time);
    }
    errno = before;
}

static ssize_t total(const struct iovec *parts, int count) {
    ssize_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

static int is_socket(int fd) {
    int type;
    socklen_t size = sizeof type;
    int before = errno, known = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    errno = before;
    return known;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ONE(bytes, length) (&(struct iovec){(void *)(bytes), (length)})

/* To a socket before the call, to a file after it. */
#define OUT(name, fd, parts, count, length, call)                                                                      \
    if (is_socket(fd)) {                                                                                               \
        note(name, fd, parts, count, length);                                                                          \
        return call;                                                                                                   \
    }                                                                                                                  \
    ssize_t done = call;                                                                                               \
    note(name, fd, parts, count, done);                                                                                \
    return done;

#define IN(name, fd, parts, count, call)                                                                               \
    ssize_t done = call;                                                                                               \
    note(name, fd, parts, count, done);                                                                                \
    return done;

#define SYNC(name, fd, call)                                                                                           \
    note_sync(name, fd, 1, 0);                                                                                         \
    int done = call;                                                                                                   \
    note_sync(name, fd, 0, done);                                                                                      \
    return done;

ssize_t write(int fd, const void *bytes, size_t length) {
    OUT("write", fd, ONE(bytes, length), 1, length, REAL(write)(fd, bytes, length))
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    OUT("writev", fd, parts, count, total(parts, count), REAL(writev)(fd, parts, count))
}
ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    OUT("send", fd, ONE(bytes, length), 1, length, REAL(send)(fd, bytes, length, flags))
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    OUT("pwrite", fd, ONE(bytes, length), 1, length, REAL(pwrite)(fd, bytes, length, at))
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    OUT("pwrite64", fd, ONE(bytes, length), 1, length, REAL(pwrite64)(fd, bytes, length, at))
}
ssize_t read(int fd, void *bytes, size_t length) {
    IN("read", fd, ONE(bytes, length), 1, REAL(read)(fd, bytes, length))
}
ssize_t recv(int fd, void *bytes, size_t length, int flags) {
    IN("recv", fd, ONE(bytes, length), 1, REAL(recv)(fd, bytes, length, flags))
}
ssize_t readv(int fd, const struct iovec *parts, int count) {
    IN("readv", fd, parts, count, REAL(readv)(fd, parts, count))
}
int fsync(int fd) {
    SYNC("fsync", fd, REAL(fsync)(fd))
}
int fdatasync(int fd) {
    SYNC("fdatasync", fd, REAL(fdatasync)(fd))
}
